//! The schemas of ids, names and other texts in the OpenAPI document. Each pattern and limit is defined once, and
//! fields refer to it. The types represent texts in `#[schema(value_type = …)]` and have no values.

use domain::{
    text::{MAX_DESCRIPTION, MAX_TITLE},
    user::PASSWORD_LENGTH,
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// The reasons for which requests are refused, as they are counted.
const REFUSAL_REASONS: &[&str] = &{
    let mut names = [""; domain::key_use::RefusalReason::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = domain::key_use::RefusalReason::ALL[at].as_str();
        at += 1;
    }
    names
};

/// The 26 characters of an id after its prefix (TypeID).
const ID_SUFFIX: &str = "[0-7][0-9a-hjkmnp-tv-z]{25}";

/// The base64 of a SHA-256, without padding.
const FINGERPRINT: &str = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]";

/// The characters that titles, names and descriptions must not contain: control characters and those that change the
/// direction of text, as a class of a regular expression (ECMA-262). It does not include line breaks and tabs.
const FORBIDDEN: &str =
    r"\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff";

/// White space that is removed around a text (the property White_Space of Unicode).
const WHITE_SPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn words(description: &str, words: &[&'static str]) -> ObjectBuilder {
    text(description).enum_values(Some(words.iter().copied()))
}

macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:expr;)*) => {
        /// Returns every schema of this module, with its name.
        #[must_use]
        pub fn list_schemas() -> Vec<(String, RefOr<Schema>)> {
            vec![$(($name::name().into_owned(), $name::schema()),)*]
        }
    $(
        $(#[$doc])*
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema.build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*
    };
}

/// Returns the schema of an id with this prefix.
fn id(prefix: &str, what: &str) -> ObjectBuilder {
    text(&format!("The id of {what}.")).pattern(Some(format!("^{prefix}_{ID_SUFFIX}$")))
}

/// Returns the pattern of an email address. The local part is a dot-string (RFC 5321 §4.1.2) of at most 64 characters.
fn email() -> String {
    let (atom, label) = ("[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?");
    format!(r"(?=[^@]{{1,64}}@){atom}(\.{atom})*@{label}(\.{label})*")
}

schemas! {
    /// `ws_…`
    WorkspaceId = id("ws", "a workspace");
    /// `usr_…`
    UserId = id("usr", "a user");
    /// `sa_…`
    ServiceAccountId = id("sa", "a service account");
    /// `key_…`
    ApiKeyId = id("key", "an API key");
    /// `prj_…`
    ProjectId = id("prj", "a project");
    /// `inv_…`
    InvitationId = id("inv", "an invitation");
    /// `evt_…`
    AuditEventId = id("evt", "an audit event");
    /// `node_…`
    NodeId = id("node", "a server");
    /// `usr_…` or `sa_…`
    PrincipalId = text("The id of a user or of a service account.").pattern(Some(format!("^(usr|sa)_{ID_SUFFIX}$")));
    /// `usr_…`, `sa_…`, `host` or `anonymous`
    Actor = text("The id of a user or of a service account; `host` for a command at the server's host; `anonymous` \
                  for a request without an accepted credential.")
        .pattern(Some(format!("^((usr|sa)_{ID_SUFFIX}|host|anonymous)$")));
    /// An [`Actor`], or its address.
    ActorReference = text("The id of a user or of a service account, an email, a service account's address, `host` or `anonymous`.")
        .max_length(Some(254))
        .pattern(Some(format!("^((usr|sa)_{ID_SUFFIX}|host|anonymous|{})$", email())));
    /// `key_…` or a [`Fingerprint`].
    KeyReference = text("The id of an API key, or its fingerprint.")
        .pattern(Some(format!("^(key_{ID_SUFFIX}|SHA256:{FINGERPRINT})$")));
    /// In paths: `prj_…` or its UUID.
    ProjectReference = text("The id of a project, or the UUID inside it.").pattern(Some(format!(
        "^(prj_{ID_SUFFIX}|[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}})$"
    )));
    /// A title, or the name of a user or a workspace.
    Title = text(&format!("One line of 1 to {MAX_TITLE} characters. White space around it is removed.")).pattern(Some(format!(
        r"^[{WHITE_SPACE}]*[^{WHITE_SPACE}{FORBIDDEN}]([^\t\n\r{FORBIDDEN}]{{0,{middle}}}[^{WHITE_SPACE}{FORBIDDEN}])?[{WHITE_SPACE}]*$",
        middle = MAX_TITLE - 2
    )));
    /// A description, which may have several lines.
    Description = text(&format!("Lines of text, up to {MAX_DESCRIPTION} characters; may be empty. White space around it is removed."))
        .pattern(Some(format!(r"^[{WHITE_SPACE}]*[^{FORBIDDEN}]{{0,{MAX_DESCRIPTION}}}[{WHITE_SPACE}]*$")));
    /// The name of a workspace or of a service account in addresses.
    Slug = text("3 to 40 lower-case letters, digits and hyphens; starts with a letter and does not end with a hyphen.")
        .pattern(Some("^[a-z][a-z0-9-]{1,38}[a-z0-9]$"));
    /// A user's email address.
    Email = text("An email address.")
        .format(Some(SchemaFormat::Custom("email".into())))
        .max_length(Some(254))
        .pattern(Some(format!("^{}$", email())));
    /// An initial password.
    NewPassword = text("A password.")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
        .min_length(Some(*PASSWORD_LENGTH.start()))
        .max_length(Some(*PASSWORD_LENGTH.end()));
    /// A fingerprint, as `ssh-keygen -l` prints it.
    Fingerprint = text("The SHA-256 of a public key, as `ssh-keygen -l` prints it.").pattern(Some(format!("^SHA256:{FINGERPRINT}$")));
    /// An armoured SSHSIG.
    SshSignature = text("An armoured SSHSIG, as `ssh-keygen -Y sign` prints it.")
        .max_length(Some(domain::public_key::MAX_TEXT_BYTES));
    /// The algorithm of a key, in OpenSSH's notation.
    Algorithm = words(
        "The algorithm of a key, as OpenSSH names it.",
        &["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"],
    );
    /// What happens to keys that are not used.
    UnusedAction = words("What happens to keys that are not used.", domain::policy::UnusedAction::WORDS);
    /// A rule of a policy for keys.
    PolicyRule = words("A rule of a policy for keys.", domain::policy::RuleName::WORDS);
    /// `admin` or `member`
    Role = words("A role in a workspace.", domain::role::Role::WORDS);
    /// `admin`, `editor` or `viewer`
    ProjectRole = words("A role in a project.", domain::role::ProjectRole::WORDS);
    /// The period whose use is shown.
    UseWindow = words("The last 24 hours by the hour, or the last 7 or 90 days by the day.", &["24h", "7d", "90d"]);
    /// The scope of a key.
    Scope = text("A scope: `keyward:read`, `keyward:write`, `keyward:manage`, or one that the operator declares.")
        .pattern(Some("^[a-z]([a-z0-9:._-]{0,62}[a-z0-9])?$"));
    /// The name of a built-in scope.
    KeywardScope = words("A built-in scope.", &["keyward:read", "keyward:write", "keyward:manage"]);
    /// A network of IP addresses.
    Cidr = text("A network such as `10.1.0.0/16`, or an IP address.").max_length(Some(49)).pattern(Some("^[0-9a-f.:]+(/[0-9]{1,3})?$"));
    /// Why a request with a registered key was refused.
    RefusalReason = words("Why requests were refused.", REFUSAL_REASONS);
    /// The role that an operation requires.
    RequiredRole = words(
        "The role that the caller lacks.",
        &["user", "operator", "workspace:admin", "project:viewer", "project:editor", "project:admin"],
    );
}
