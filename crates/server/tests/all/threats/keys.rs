//! Attacks on keys: all orders of removing and restoring access, signatures in encodings of other libraries, and
//! invalid public keys.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use server::app::{Caller, KeyOwner};

use crate::{
    support::signing::{Draft, assert_refused_with, assert_refused_without_key_details},
    support::{Key, TestApp},
};

const ME: &str = "/api/v1/me";
const KEYS: &str = "/api/v1/me/keys";

/// The permutations of three items.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// Bob, whose access depends on his key, on himself, and on a workspace.
struct Bob<'a> {
    test: &'a TestApp,
    id: domain::UserId,
    email: String,
    key: domain::ApiKeyId,
    workspace: domain::WorkspaceId,
    workspaces: usize,
}

impl Bob<'_> {
    async fn cut(&mut self, what: usize) {
        let (app, host) = (&self.test.app, Caller::host());
        match what {
            0 => drop(app.disable_api_key(&host, KeyOwner::User(self.id), self.key).await.unwrap()),
            1 => self.set_disabled(true).await,
            _ => app.delete_workspace(&host, self.workspace).await.unwrap().into_inner(),
        }
    }

    async fn give_back(&mut self, what: usize) {
        let (app, host) = (&self.test.app, Caller::host());
        let enable = api::EnableApiKey::default();
        match what {
            0 => drop(app.enable_api_key(&host, KeyOwner::User(self.id), self.key, &enable).await.unwrap()),
            1 => self.set_disabled(false).await,
            _ => self.join().await,
        }
    }

    async fn set_disabled(&self, disabled: bool) {
        let update = api::UpdateUser { disabled: Some(disabled), ..api::UpdateUser::default() };
        self.test.app.update_user(&Caller::host(), self.id, update).await.unwrap();
    }

    async fn join(&mut self) {
        self.workspaces += 1;
        let create = api::CreateWorkspace {
            name: "Bob's".to_owned(),
            slug: format!("bob-{}", self.workspaces),
            admin_email: Some(self.email.clone()),
        };
        self.workspace = self.test.app.create_workspace(&Caller::host(), create).await.unwrap().workspace.id;
    }
}

#[tokio::test]
async fn access_needs_workspace_user_and_key_in_whatever_order_they_are_disabled() {
    let test = TestApp::new().await;
    let bob = test.user("bob", false).await;
    let mut access = Bob {
        test: &test,
        id: bob.id.parse().unwrap(),
        email: bob.email.clone(),
        key: bob.key.id.parse().unwrap(),
        workspace: test.workspace("bob-0", &bob).await.parse().unwrap(),
        workspaces: 0,
    };
    let token = test.bearer_token(&bob.key).await;
    let reaches = async |expected: u16, when: &str| {
        for request in [
            test.get(ME).by(&bob.key),
            test.get(ME).by_encord(&bob.key),
            test.get(ME).bearer(&token),
            test.get("/v2/public/projects").by(&bob.key),
        ] {
            let answer = request.send().await;
            assert_eq!(answer.status, expected, "{when}: {answer:?}");
        }
    };
    for cuts in ORDERS {
        for gifts in ORDERS {
            reaches(200, "before").await;
            for what in cuts {
                access.cut(what).await;
                reaches(401, &format!("cut {cuts:?}, after {what}")).await;
            }
            for (nth, what) in gifts.into_iter().enumerate() {
                access.give_back(what).await;
                let expected = if nth == 2 { 200 } else { 401 };
                reaches(expected, &format!("cut {cuts:?}, given back {gifts:?}, after {what}")).await;
            }
        }
    }
    // A revoked key cannot be restored.
    let path = format!("{KEYS}/{}", bob.key.id);
    test.delete(&path).by(&bob.key).send().await.expect(204);
    for what in 1..3 {
        access.cut(what).await;
        access.give_back(what).await;
    }
    reaches(401, "revoked").await;
    access
        .test
        .app
        .enable_api_key(&Caller::host(), KeyOwner::User(access.id), access.key, &api::EnableApiKey::default())
        .await
        .unwrap_err();
}

/// Runs a script in Node.js, and returns its output.
fn node(script: &str, arguments: &[&str]) -> String {
    let output = Command::new("node").arg("-e").arg(script).args(arguments).output().expect("Node.js");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn a_der_encoded_ecdsa_signature_is_refused_with_advice() {
    let test = TestApp::new().await;
    let ada = test.user("ada", true).await;
    for (curve, hash, alg) in [("P-256", "sha256", "ecdsa-p256-sha256"), ("P-384", "sha384", "ecdsa-p384-sha384")] {
        let pair = node(
            "const { generateKeyPairSync } = require('node:crypto');
             const encoding = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } };
             console.log(JSON.stringify(generateKeyPairSync('ec', { namedCurve: process.argv[1], ...encoding })));",
            &[curve],
        );
        let pair: serde_json::Value = serde_json::from_str(&pair).unwrap();
        let body = json!({"title": curve, "public_key": pair["publicKey"]});
        let made = test.post(KEYS, &body).by(&ada.key).send().await.expect(201);
        let sign = |base: &str, encoding: &str| {
            let script = "const { sign } = require('node:crypto');
                const [hash, key, base, dsaEncoding] = process.argv.slice(1);
                process.stdout.write(sign(hash, Buffer.from(base), { key, dsaEncoding }).toString('base64'));";
            node(script, &[hash, pair["privateKey"].as_str().unwrap(), base, encoding])
        };
        let draft = |keyid: &str| {
            let draft = Draft::native(&test, &ada.key, "GET");
            draft.set("keyid", &format!("\"{keyid}\"")).set("alg", &format!("\"{alg}\""))
        };
        let request = |draft: &Draft, encoding: &str| {
            let request = test.get(ME);
            let signature = sign(&draft.base(&request), encoding);
            let request = request.header("signature-input", &format!("sig={}", draft.member()));
            request.header("signature", &format!("sig=:{signature}:"))
        };
        let known = draft(made["fingerprint"].as_str().unwrap());
        request(&known, "ieee-p1363").send().await.expect(200);
        let told = assert_refused_with(request(&known, "der").send().await, "unacceptable");
        assert!(told.contains("DER") && told.contains("ieee-p1363"), "{told}");
        // A signature that is invalid after the conversion gets no reason.
        let unknown = draft(&test.new_key().fingerprint);
        assert_refused_without_key_details(request(&unknown, "der").send().await, "an unknown key");
        let other_base = request(&known, "der")
            .header("signature-input", &format!("sig={}", draft(made["id"].as_str().unwrap()).member()));
        assert_refused_without_key_details(other_base.send().await, "another base");
    }
}

#[tokio::test]
async fn a_pss_signature_with_another_salt_length_is_refused_with_advice() {
    let test = TestApp::new().await;
    let ada = test.user("ada", true).await;
    for bits in ["2048", "2056", "3072"] {
        let pair = node(
            "const { generateKeyPairSync } = require('node:crypto');
             const encoding = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } };
             console.log(JSON.stringify(generateKeyPairSync('rsa', { modulusLength: Number(process.argv[1]), ...encoding })));",
            &[bits],
        );
        let pair: serde_json::Value = serde_json::from_str(&pair).unwrap();
        let body = json!({"title": bits, "public_key": pair["publicKey"]});
        let made = test.post(KEYS, &body).by(&ada.key).send().await.expect(201);
        let sign = |base: &str, salt: &str| {
            let script = "const { sign, constants } = require('node:crypto');
                const [base, key, salt] = process.argv.slice(1);
                const padding = constants.RSA_PKCS1_PSS_PADDING;
                const options = salt ? { key, padding, saltLength: Number(salt) } : { key, padding };
                process.stdout.write(sign('sha512', Buffer.from(base), options).toString('base64'));";
            node(script, &[base, pair["privateKey"].as_str().unwrap(), salt])
        };
        let draft = |keyid: &str| Draft::native(&test, &ada.key, "GET").set("keyid", &format!("\"{keyid}\""));
        let request = |draft: &Draft, salt: &str| {
            let request = test.get(ME);
            let signature = sign(&draft.base(&request), salt);
            let request = request.header("signature-input", &format!("sig={}", draft.member()));
            request.header("signature", &format!("sig=:{signature}:"))
        };
        let known = draft(made["fingerprint"].as_str().unwrap());
        request(&known, "64").send().await.expect(200);
        // Node.js uses the longest salt by default.
        for (salt, bytes) in [("0", 0), ("32", 32), ("", bits.parse::<usize>().unwrap().div_ceil(8) - 66)] {
            let told = assert_refused_with(request(&known, salt).send().await, "unacceptable");
            assert!(told.contains(&format!("its salt has {bytes} bytes")) && told.contains("saltLength: 64"), "{told}");
        }
        let unknown = draft(&test.new_key().fingerprint);
        assert_refused_without_key_details(request(&unknown, "").send().await, "an unknown key");
        let mut changed = request(&known, "");
        changed.target = "/api/v1/workspaces".to_owned();
        assert_refused_without_key_details(changed.send().await, "another request");
    }
}

#[tokio::test]
async fn only_one_strong_public_key_is_accepted_and_only_its_bytes_are_stored() {
    let test = TestApp::new().await;
    let ada = test.user("ada", true).await;
    let (one, two): (Key, Key) = (test.new_key(), test.new_key());
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let ed25519 =
        |point: [u8; 32]| format!("ssh-ed25519 {}", STANDARD.encode([string(b"ssh-ed25519"), string(&point)].concat()));
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut short = vec![0xc5; 129];
    short[0] = 0;
    short[128] |= 1;
    let rsa = |modulus: &[u8]| {
        let blob = [string(b"ssh-rsa"), string(&[1, 0, 1]), string(modulus)].concat();
        format!("ssh-rsa {}", STANDARD.encode(blob))
    };
    for (what, text) in [
        ("a second key in the next line", format!("{}\n{}", one.openssh, two.openssh)),
        ("a second key behind a line break in the comment", format!("{} laptop\n{} x", one.openssh, two.openssh)),
        ("a carriage return in the comment", format!("{} laptop\rcommand=\"x\"", one.openssh)),
        ("a NUL in the comment", format!("{} lap\0top", one.openssh)),
        ("an escape in the comment", format!("{} \u{1b}[2Jlaptop", one.openssh)),
        ("options", format!("command=\"sh\",no-pty {}", one.openssh)),
        ("an environment option", format!("environment=\"A=b\" {}", one.openssh)),
        ("the identity as a point", ed25519(identity)),
        ("a point of small order", ed25519([0; 32])),
        ("a modulus of 1024 bits", rsa(&short)),
    ] {
        let body = json!({"title": "k", "public_key": text});
        let problem = test.post(KEYS, &body).by(&ada.key).send().await.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "public_key", "{what}: {problem}");
    }
    let body = json!({"title": "k", "public_key": format!("{} laptop of ada", one.openssh)});
    let made = test.post(KEYS, &body).by(&ada.key).send().await.expect(201);
    assert_eq!(made["public_key"], one.openssh.as_str(), "rebuilt from its bytes, without a comment");
}
