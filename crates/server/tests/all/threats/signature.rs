//! THREATS §2: what a signature must cover and contain. Each row is tested with the real router, with a valid and an
//! invalid request.

use http_signature::Profile;
use serde_json::json;

use crate::{
    support::signing::{
        Draft, assert_refused_with, assert_refused_without_key_details, digest_of, fresh_nonce, hex_of, quoted,
    },
    support::{Actor, HOST, TestApp},
};

const ME: &str = "/api/v1/me";

struct Acme {
    test: TestApp,
    admin: Actor,
    projects: String,
}

async fn acme() -> Acme {
    let test = TestApp::new().await;
    let admin = test.user("ada", false).await;
    let workspace = test.workspace("acme", &admin).await;
    Acme { test, admin, projects: format!("/api/v1/workspaces/{workspace}/projects") }
}

#[tokio::test]
async fn a_signature_made_by_hand_from_the_rfc_is_accepted() {
    let Acme { test, admin, projects } = acme().await;
    let key = &admin.key;
    Draft::native(&test, key, "GET").sign(test.get(ME), key).send().await.expect(200);
    Draft::encord(&test, key).sign(test.get(ME), key).send().await.expect(200);
    let create = test.post(&projects, &json!({"title": "By hand"}));
    Draft::native(&test, key, "POST").sign(create.clone(), key).send().await.expect(201);
    Draft::encord(&test, key).sign(create, key).send().await.expect(201);
    let split = Draft::native(&test, key, "GET").without("@target-uri").with("\"@path\"").with("\"@query\"");
    split.sign(test.get(ME), key).send().await.expect(200);
    let by_id = Draft::native(&test, key, "GET").set("keyid", &quoted(&key.id));
    by_id.sign(test.get(ME), key).send().await.expect(200);
}

#[tokio::test]
async fn each_required_component_is_required() {
    let Acme { test, admin, projects } = acme().await;
    let key = &admin.key;
    for component in ["@method", "@authority", "@target-uri", "content-digest"] {
        let request = test.post(&projects, &json!({"title": "Never"}));
        let answer = Draft::native(&test, key, "POST").without(component).sign(request, key).send().await;
        assert_refused_with(answer, "unacceptable");
    }
    for component in ["@method", "@request-target", "content-digest"] {
        let request = test.post(&projects, &json!({"title": "Never"}));
        let answer = Draft::encord(&test, key).without(component).sign(request, key).send().await;
        assert_refused_without_key_details(answer, component);
    }
    for missing in ["@path", "@query"] {
        let split = Draft::native(&test, key, "GET").without("@target-uri").with("\"@path\"").with("\"@query\"");
        assert_refused_with(split.without(missing).sign(test.get(ME), key).send().await, "unacceptable");
    }
    let empty = Draft { components: Vec::new(), ..Draft::native(&test, key, "GET") };
    assert_refused_with(empty.sign(test.get(ME), key).send().await, "unacceptable");
    let listed = test.get(&projects).by(key).send().await.expect(200);
    assert_eq!(listed["items"], json!([]), "what was refused was not done");
}

#[tokio::test]
async fn components_twice_or_beyond_the_profile_are_refused() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    for component in [
        "\"@method\"",
        "\"@request-target\"",
        "\"@scheme\"",
        "\"@status\"",
        "\"@query-param\";name=\"a\"",
        "\"host\";bs",
        "\"host\";sf",
        "\"host\";tr",
        "\"@method\";req",
        "\"content-digest\";key=\"sha-256\"",
        "\"Host\"",
        "\"x-absent\"",
    ] {
        let answer = Draft::native(&test, key, "GET").with(component).sign(test.get(ME), key).send().await;
        assert_refused_without_key_details(answer, component);
    }
    let more = Draft::encord(&test, key).with("\"host\"");
    assert_refused_without_key_details(more.sign(test.get(ME), key).send().await, "encord with host");
    let mut swapped = Draft::encord(&test, key);
    swapped.components.swap(0, 1);
    assert_refused_without_key_details(swapped.sign(test.get(ME), key).send().await, "encord in another order");
}

#[tokio::test]
async fn parameters_outside_the_profile_are_refused() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let long = format!("\"{}\"", "k".repeat(129));
    for (name, value) in [
        ("created", ""),
        ("created", "\"1767323045\""),
        ("created", "1767323045.0"),
        ("created", "-1"),
        ("created", "?1"),
        ("expires", "\"soon\""),
        ("keyid", ""),
        ("keyid", "\"\""),
        ("keyid", "1"),
        ("keyid", &long),
        ("tag", "\"Keyward\""),
        ("tag", "keyward"),
        ("tag", ""),
        ("alg", "\"none\""),
        ("alg", "\"hmac-sha256\""),
        ("alg", "ed25519"),
        ("x", "1"),
    ] {
        let answer = Draft::native(&test, key, "GET").set(name, value).sign(test.get(ME), key).send().await;
        assert_refused_without_key_details(answer, &format!("{name}={value}"));
    }
    for (name, value) in [("expires", ""), ("nonce", "")] {
        let answer = Draft::native(&test, key, "GET").set(name, value).sign(test.get(ME), key).send().await;
        assert_refused_with(answer, "unacceptable");
    }
    for (name, value) in [("alg", ""), ("alg", "\"rsa-pss-sha512\""), ("expires", "1767323100"), ("nonce", "\"n\"")] {
        let answer = Draft::encord(&test, key).set(name, value).sign(test.get(ME), key).send().await;
        assert_refused_without_key_details(answer, &format!("encord {name}={value}"));
    }
}

#[tokio::test]
async fn the_key_decides_the_algorithm() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let agreeing = Draft::native(&test, key, "GET").set("alg", "\"ed25519\"");
    agreeing.sign(test.get(ME), key).send().await.expect(200);
    for algorithm in ["rsa-v1_5-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "hmac-sha256"] {
        let answer = Draft::native(&test, key, "GET").set("alg", &quoted(algorithm)).sign(test.get(ME), key);
        assert_refused_without_key_details(answer.send().await, algorithm);
    }
}

#[tokio::test]
async fn a_nonce_is_neither_short_nor_long() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    for (length, accepted) in [(0, false), (21, false), (22, true), (128, true), (129, false)] {
        let nonce = quoted(&"n".repeat(length));
        let answer = Draft::native(&test, key, "GET").set("nonce", &nonce).sign(test.get(ME), key).send().await;
        if accepted {
            answer.expect(200);
        } else {
            let told = assert_refused_with(answer, "unacceptable");
            assert!(told.contains(&length.to_string()), "{told}");
        }
    }
}

#[tokio::test]
async fn a_key_id_has_one_spelling() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let fingerprint = &key.fingerprint;
    let hash = fingerprint.trim_start_matches("SHA256:");
    let swapped_case: String = fingerprint
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let url_safe = hash.replace('+', "-").replace('/', "_");
    for variant in [
        fingerprint.to_ascii_lowercase(),
        fingerprint.to_ascii_uppercase(),
        swapped_case,
        hash.to_owned(),
        format!("{fingerprint}="),
        format!("sha256:{hash}"),
        format!("SHA256: {hash}"),
        format!(" {fingerprint}"),
        format!("{fingerprint} "),
        format!("SHA256:{url_safe}-"),
        key.id.to_ascii_uppercase(),
        key.id.replace("key_", "usr_"),
        key.id.replace("key_", "KEY_"),
        key.id.replace("key_", ""),
        admin.id.clone(),
    ] {
        let draft = Draft::native(&test, key, "GET").set("keyid", &quoted(&variant));
        assert_refused_without_key_details(draft.sign(test.get(ME), key).send().await, &variant);
    }
    let hex = hex_of(key);
    for variant in [hex.to_ascii_uppercase(), format!("{hex} "), format!("0x{hex}"), key.id.clone(), hex[..62].into()] {
        let draft = Draft::encord(&test, key).set("keyid", &quoted(&variant));
        assert_refused_without_key_details(draft.sign(test.get(ME), key).send().await, &variant);
    }
}

#[tokio::test]
async fn a_label_occurs_once_in_both_headers() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let signed = || Draft::native(&test, key, "GET").sign(test.get(ME), key);
    for field in ["signature", "signature-input"] {
        let mut request = signed();
        request.headers.remove(field);
        assert_refused_without_key_details(request.send().await, field);
        let mut request = signed();
        let twice = request.headers[field].to_str().unwrap().to_owned();
        request = request.header(field, &format!("{twice}, {twice}"));
        assert_refused_without_key_details(request.send().await, "one label twice");
        let mut request = signed();
        let again = request.headers[field].clone();
        request.headers.append(field, again);
        assert_refused_without_key_details(request.send().await, "one label on two lines");
        let mut request = signed();
        let renamed = request.headers[field].to_str().unwrap().replacen("sig=", "other=", 1);
        request = request.header(field, &renamed);
        assert_refused_without_key_details(request.send().await, "labels that do not match");
    }
    let two = Draft::native(&test, key, "GET").label("other").sign(signed(), key);
    assert_refused_without_key_details(two.send().await, "two of one profile");
    let two = Draft::encord(&test, key).sign(signed(), key);
    assert_refused_without_key_details(two.send().await, "one of each profile");
}

#[tokio::test]
async fn of_several_signatures_the_one_with_our_tag_is_verified() {
    let Acme { test, admin, .. } = acme().await;
    let stranger = test.new_key();
    let other = |label: &str| Draft::native(&test, &admin.key, "GET").label(label).set("tag", "\"other\"");

    let ours = Draft::native(&test, &admin.key, "GET");
    let request = ours.sign(other("a").sign(test.get(ME), &stranger), &admin.key);
    assert_eq!(request.send().await.expect(200)["principal"]["id"], admin.id.as_str());

    // A valid signature with another tag does not make an invalid one with the tag `keyward` valid.
    let forged = Draft::native(&test, &admin.key, "GET").sign(other("a").sign(test.get(ME), &admin.key), &stranger);
    assert_refused_without_key_details(forged.send().await, "the signature for us is forged");

    // With two keys in one request, the one with a signature for this server is authenticated (x/crypto CVE-2024-45337).
    let mallory = test.user("mallory", false).await;
    test.workspace("evil", &mallory).await;
    let mixed = Draft::native(&test, &mallory.key, "GET").sign(other("a").sign(test.get(ME), &admin.key), &mallory.key);
    assert_eq!(mixed.send().await.expect(200)["principal"]["id"], mallory.id.as_str());
    let stolen = Draft::native(&test, &admin.key, "GET").sign(test.get(ME), &mallory.key);
    assert_refused_without_key_details(stolen.send().await, "signed with another key than is named");
}

#[tokio::test]
async fn too_many_labels_or_components_are_431() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let others = |count: usize| {
        (0..count).fold(test.get(ME), |request, n| {
            let draft = Draft::native(&test, key, "GET").label(&format!("l{n}")).set("tag", "\"other\"");
            draft.sign(request, key)
        })
    };
    Draft::native(&test, key, "GET").sign(others(3), key).send().await.expect(200);
    let five = Draft::native(&test, key, "GET").sign(others(4), key);
    five.send().await.expect_problem(431, "headers_too_large");

    let covering = |count: usize| {
        let mut request = test.get(ME);
        let mut draft = Draft::native(&test, key, "GET");
        for n in draft.components.len()..count {
            let name: http::HeaderName = format!("x-{n}").parse().unwrap();
            request.headers.insert(&name, http::HeaderValue::from_static("v"));
            draft = draft.with(&quoted(name.as_str()));
        }
        draft.sign(request, key)
    };
    covering(32).send().await.expect(200);
    covering(33).send().await.expect_problem(431, "headers_too_large");
}

#[tokio::test]
async fn signatures_in_another_encoding_are_refused() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let signed = Draft::native(&test, key, "GET").sign(test.get(ME), key);
    let good = signed.headers["signature"].to_str().unwrap().to_owned();
    let encoded = good.trim_start_matches("sig=:").trim_end_matches(':').to_owned();
    let last = encoded.trim_end_matches('=').chars().last().unwrap();
    // Other bits beyond the last byte. A lenient decoder returns the same bytes.
    let next = char::from(u8::try_from(last).unwrap() + 1);
    for variant in [
        format!("sig=:{}:", encoded.trim_end_matches('=')),
        format!("sig=:{}:", encoded.replace('+', "-").replace('/', "_").replace('=', ".")),
        format!("sig=: {encoded}:"),
        format!("sig=:{}{next}==:", &encoded[..encoded.len() - 3]),
        format!("sig=\"{encoded}\""),
        format!("sig={encoded}"),
        format!("sig=:{encoded}"),
        format!("SIG=:{encoded}:"),
        "sig=::".to_owned(),
    ] {
        let answer = signed.clone().header("signature", &variant).send().await;
        assert_refused_without_key_details(answer, &variant);
    }
    signed.send().await.expect(200);
}

#[tokio::test]
async fn another_s_of_the_same_signature_is_refused() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    // L, the order of the base point, little-endian. s + L is valid for verifiers that do not check the range (RFC 8032
    // §5.1.7).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let Acme { test, admin, .. } = acme().await;
    let draft = Draft::native(&test, &admin.key, "GET");
    let request = test.get(ME);
    let mut signature = admin.key.sign(draft.base(&request).as_bytes());
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let request = request
        .header("signature-input", &format!("sig={}", draft.member()))
        .header("signature", &format!("sig=:{}:", STANDARD.encode(signature)));
    assert_refused_without_key_details(request.send().await, "s + L");
}

#[tokio::test]
async fn a_request_changed_after_signing_is_refused() {
    let Acme { test, admin, .. } = acme().await;
    let key = &admin.key;
    let target = "/api/v1/me?a=1&b=x%20y&c=~";
    for (name, changed) in [
        ("reordered", "/api/v1/me?b=x%20y&a=1&c=~"),
        ("plus for space", "/api/v1/me?a=1&b=x+y&c=~"),
        ("escaped without need", "/api/v1/me?a=1&b=x%20y&c=%7e"),
        ("escape in the path", "/api/v1/m%65?a=1&b=x%20y&c=~"),
        ("case of the path", "/api/v1/Me?a=1&b=x%20y&c=~"),
        ("case of the query", "/api/v1/me?A=1&b=x%20y&c=~"),
        ("slash added", "/api/v1/me/?a=1&b=x%20y&c=~"),
        ("query cut off", "/api/v1/me"),
        ("query added to", "/api/v1/me?a=1&b=x%20y&c=~&"),
    ] {
        for draft in [Draft::native(&test, key, "GET"), Draft::encord(&test, key)] {
            let mut request = draft.sign(test.get(target), key);
            changed.clone_into(&mut request.target);
            assert_refused_without_key_details(request.send().await, name);
        }
    }
    // An empty query and a missing query are different targets.
    let mut request = Draft::native(&test, key, "GET").sign(test.get(ME), key);
    request.target.push('?');
    assert_refused_without_key_details(request.send().await, "an empty query added");
    for method in ["HEAD", "OPTIONS", "get", "DELETE"] {
        let mut request = Draft::native(&test, key, "GET").sign(test.get(target), key);
        method.clone_into(&mut request.method);
        assert_eq!(request.send().await.status, 401, "{method}");
    }
    let covered = Draft::native(&test, key, "GET").with("\"keyward-workspace\"");
    let request = covered.sign(test.get(ME).header("keyward-workspace", "ws_1"), key);
    assert_refused_without_key_details(request.header("keyward-workspace", "ws_2").send().await, "a covered header");
}

#[tokio::test]
async fn a_request_signed_for_one_host_is_refused_on_another() {
    let test = TestApp::with_settings(|settings| {
        settings.hosts = vec!["http://127.0.0.1:8081".to_owned(), "http://127.0.0.1".to_owned()];
        settings.encord_hosts = vec!["127.0.0.1".to_owned()];
    })
    .await;
    let admin = test.user("ada", false).await;
    test.workspace("acme", &admin).await;
    let signed = test.get(ME).by(&admin.key);
    signed.clone().send().await.expect(200);
    for host in ["127.0.0.1:8081", "127.0.0.1", "localhost:8080"] {
        assert_refused_without_key_details(signed.clone().header("host", host).send().await, host);
    }
    for host in ["api.example.com", "evil.example"] {
        signed.clone().header("host", host).send().await.expect_problem(421, "host_not_listed");
    }
    let signed = test.get(ME).by_encord(&admin.key);
    for host in [HOST, "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:80"] {
        signed.clone().header("host", host).send().await.expect(200);
    }
    let told = assert_refused_with(signed.clone().header("host", "127.0.0.1:8081").send().await, "host_not_listed");
    assert!(told.contains("encord_hosts"), "{told}");
    for host in ["api.example.com:8080", "api.example.com.evil.example", "example.com"] {
        signed.clone().header("host", host).send().await.expect_problem(421, "host_not_listed");
    }
}

#[tokio::test]
async fn headers_that_ask_for_another_method_or_path_change_nothing() {
    let Acme { test, admin, projects } = acme().await;
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "x-original-method"] {
        let answer = test.get(&projects).header(name, "POST").by(&admin.key).send().await;
        assert!(answer.expect(200)["items"].is_array(), "{name}");
    }
    for name in ["x-original-uri", "x-original-url", "x-rewrite-url", "x-forwarded-uri", "x-forwarded-host"] {
        let answer = test.get(ME).header(name, &projects).by(&admin.key).send().await;
        assert_eq!(answer.expect(200)["principal"]["id"], admin.id.as_str(), "{name}");
        let signed_elsewhere = test.get(ME).by(&test.new_key()).header(name, &projects);
        assert_refused_without_key_details(signed_elsewhere.send().await, name);
    }
    let overridden = test.post(&format!("{ME}?_method=GET"), &json!({"_method": "GET"})).by(&admin.key);
    overridden.send().await.expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn two_credentials_are_refused() {
    let Acme { test, admin, .. } = acme().await;
    let token = test.get("/v2/public/user/bearer-token").by_encord(&admin.key).send().await.expect(200);
    let token = token["token"].as_str().unwrap();
    test.get(ME).bearer(token).send().await.expect(200);
    assert_refused_without_key_details(test.get(ME).by(&admin.key).bearer(token).send().await, "signature and token");
    assert_refused_without_key_details(test.get(ME).by(&admin.key).bearer("x").send().await, "signature and bad token");
    let forged = test.get(ME).by(&test.new_key()).bearer(token);
    assert_refused_without_key_details(forged.send().await, "bad signature and token");
    let basic = test.get(ME).by(&admin.key).header("authorization", "Basic YTpi");
    assert_refused_without_key_details(basic.send().await, "signature and another scheme");
    let oversize = test.get(ME).by(&admin.key).bearer(&"t".repeat(9000));
    assert_refused_without_key_details(oversize.send().await, "signature and an oversize token");
    let mut twice = test.get(ME).bearer(token);
    twice.headers.append("authorization", format!("Bearer {token}").parse().unwrap());
    twice.send().await.expect_problem(400, "invalid_request");
    for text in ["", "Bearer", "Bearer ", "Basic x", token, &format!("Bearer  {token}"), &format!("Bearer {token} ")] {
        let answer = test.get(ME).header("authorization", text).send().await;
        // A field value is trimmed before it is parsed, so the last of these is valid.
        if text.ends_with(' ') && text.len() > 10 {
            continue;
        }
        assert_refused_without_key_details(answer, text);
    }
    let changed = format!("{}A", &token[..token.len() - 1]);
    let flipped = if changed == token { format!("{}B", &token[..token.len() - 1]) } else { changed };
    assert_refused_without_key_details(test.get(ME).bearer(&flipped).send().await, "a changed token");
}

#[tokio::test]
async fn a_digest_must_be_present_strong_and_correct() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let Acme { test, admin, projects } = acme().await;
    let key = &admin.key;
    let body = json!({"title": "Digest"});
    let bytes = serde_json::to_vec(&body).unwrap();
    let right = digest_of(&bytes);
    let wrong = digest_of(b"other");
    let sha512 = {
        use sha2::Digest as _;
        STANDARD.encode(sha2::Sha512::digest(&bytes))
    };
    let signed = |digest: &str| {
        let request = test.post(&projects, &body).header("content-digest", digest);
        Draft::native(&test, key, "POST").sign(request, key)
    };
    for digest in [right.clone(), format!("sha-512=:{sha512}:"), format!("{right}, sha-512=:{sha512}:")] {
        signed(&digest).send().await.expect(201);
    }
    for digest in [wrong.clone(), digest_of(b""), format!("{wrong}, sha-512=:{sha512}:")] {
        assert_refused_with(signed(&digest).send().await, "digest_mismatch");
    }
    for digest in ["md5=:rL0Y20zC+Fzt72VPzMSk2A==:", "sha=:AAAA:", "unixsum=123", "", "sha-256=abc"] {
        let answer = signed(digest).send().await;
        assert_eq!(answer.status, 401, "{digest}: {}", answer.json());
    }
    let mut absent = signed(&right);
    absent.headers.remove("content-digest");
    assert_refused_without_key_details(absent.send().await, "a covered digest that is not there");
    let replaced = signed(&right).header("content-digest", &wrong);
    assert_refused_without_key_details(replaced.send().await, "another digest than was signed");
    let mut second = signed(&right);
    second.headers.append("content-digest", wrong.parse().unwrap());
    assert_refused_without_key_details(second.send().await, "a second digest");
}

#[tokio::test]
async fn a_flipped_byte_of_a_body_is_refused_on_every_profile() {
    let Acme { test, admin, projects } = acme().await;
    for profile in [Profile::Native, Profile::Encord] {
        let signed = test.post(&projects, &json!({"title": "T"})).signed(&admin.key, profile, 0);
        for index in 0..signed.body.len() {
            let mut changed = signed.clone();
            changed.body[index] ^= 1;
            assert_refused_with(changed.send().await, "digest_mismatch");
        }
        let mut longer = signed.clone();
        longer.body.push(b' ');
        assert_refused_with(longer.send().await, "digest_mismatch");
        let mut stripped = signed.clone();
        stripped.body.clear();
        assert_refused_with(stripped.send().await, "digest_mismatch");
        signed.send().await.expect(201);
    }
    let mut added = test.get(ME).by(&admin.key);
    added.body = b"x".to_vec();
    assert_refused_with(added.send().await, "digest_mismatch");
    let mut added = test.delete(&format!("/api/v1/me/keys/{}", admin.key.id)).by(&admin.key);
    added.body = b"{}".to_vec();
    assert_refused_with(added.send().await, "digest_mismatch");
    test.get(ME).by(&admin.key).send().await.expect(200);
}

#[tokio::test]
async fn the_nonce_of_a_read_may_be_repeated() {
    let Acme { test, admin, .. } = acme().await;
    let nonce = quoted(&fresh_nonce(&test));
    for target in [ME, "/api/v1/me/keys"] {
        let draft = Draft::native(&test, &admin.key, "GET").set("nonce", &nonce);
        let request = draft.sign(test.get(target), &admin.key);
        request.clone().send().await.expect(200);
        request.send().await.expect(200);
    }
}
