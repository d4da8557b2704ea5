//! RFC 9421 §2.4 and appendices B.2 to B.4, complete: base and signature of each example.

use http::{HeaderMap, HeaderName, HeaderValue};
use http_signature::{
    Algorithm, BareItem, EcdsaSigningKey, Message, RequestView, ResponseView, RsaSigningKey, SignatureParameters,
    SigningKey, VerificationKey,
};

use crate::support::unbase64;

// Appendix B.1; the private keys are published there, for tests.
const RSA_PRIVATE: &str = "MIIEqAIBAAKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsP
    BRrwWEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsd
    JKFqMGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75
    jfZgkne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKI
    lE0PuKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZ
    SFlQPSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQABAoIBAG/JZuSWdoVHbi56
    vjgCgkjg3lkO1KrO3nrdm6nrgA9P9qaPjxuKoWaKO1cBQlE1pSWp/cKncYgD5WxE
    CpAnRUXG2pG4zdkzCYzAh1i+c34L6oZoHsirK6oNcEnHveydfzJL5934egm6p8DW
    +m1RQ70yUt4uRc0YSor+q1LGJvGQHReF0WmJBZHrhz5e63Pq7lE0gIwuBqL8SMaA
    yRXtK+JGxZpImTq+NHvEWWCu09SCq0r838ceQI55SvzmTkwqtC+8AT2zFviMZkKR
    Qo6SPsrqItxZWRty2izawTF0Bf5S2VAx7O+6t3wBsQ1sLptoSgX3QblELY5asI0J
    YFz7LJECgYkAsqeUJmqXE3LP8tYoIjMIAKiTm9o6psPlc8CrLI9CH0UbuaA2JCOM
    cCNq8SyYbTqgnWlB9ZfcAm/cFpA8tYci9m5vYK8HNxQr+8FS3Qo8N9RJ8d0U5Csw
    DzMYfRghAfUGwmlWj5hp1pQzAuhwbOXFtxKHVsMPhz1IBtF9Y8jvgqgYHLbmyiu1
    mwJ5AL0pYF0G7x81prlARURwHo0Yf52kEw1dxpx+JXER7hQRWQki5/NsUEtv+8RT
    qn2m6qte5DXLyn83b1qRscSdnCCwKtKWUug5q2ZbwVOCJCtmRwmnP131lWRYfj67
    B/xJ1ZA6X3GEf4sNReNAtaucPEelgR2nsN0gKQKBiGoqHWbK1qYvBxX2X3kbPDkv
    9C+celgZd2PW7aGYLCHq7nPbmfDV0yHcWjOhXZ8jRMjmANVR/eLQ2EfsRLdW69bn
    f3ZD7JS1fwGnO3exGmHO3HZG+6AvberKYVYNHahNFEw5TsAcQWDLRpkGybBcxqZo
    81YCqlqidwfeO5YtlO7etx1xLyqa2NsCeG9A86UjG+aeNnXEIDk1PDK+EuiThIUa
    /2IxKzJKWl1BKr2d4xAfR0ZnEYuRrbeDQYgTImOlfW6/GuYIxKYgEKCFHFqJATAG
    IxHrq1PDOiSwXd2GmVVYyEmhZnbcp8CxaEMQoevxAta0ssMK3w6UsDtvUvYvF22m
    qQKBiD5GwESzsFPy3Ga0MvZpn3D6EJQLgsnrtUPZx+z2Ep2x0xc5orneB5fGyF1P
    WtP+fG5Q6Dpdz3LRfm+KwBCWFKQjg7uTxcjerhBWEYPmEMKYwTJF5PBG9/ddvHLQ
    EQeNC8fHGg4UXU8mhHnSBt3EA10qQJfRDs15M38eG2cYwB1PZpDHScDnDA0=";
const RSA_PUBLIC: &str = "MIIBCgKCAQEAhAKYdtoeoy8zcAcR874L8cnZxKzAGwd7v36APp7Pv6Q2jdsPBRrw
    WEBnez6d0UDKDwGbc6nxfEXAy5mbhgajzrw3MOEt8uA5txSKobBpKDeBLOsdJKFq
    MGmXCQvEG7YemcxDTRPxAleIAgYYRjTSd/QBwVW9OwNFhekro3RtlinV0a75jfZg
    kne/YiktSvLG34lw2zqXBDTC5NHROUqGTlML4PlNZS5Ri2U4aCNx2rUPRcKIlE0P
    uKxI4T+HIaFpv8+rdV6eUgOrB2xeI1dSFFn/nnv5OoZJEIB+VmuKn3DCUcCZSFlQ
    PSXSfBDiUGhwOw76WuSSsf1D4b/vLoJ10wIDAQAB";
const RSA_PSS_PUBLIC: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
    +QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
    oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
    gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
    Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
    aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
    2wIDAQAB";
const ECC_P256_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
    w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==";
const ECC_P256_SCALAR: &str = "UpuF81l+kOxbjf7T4mNSv0r5tN67Gim7rnf6EFpcYDs=";
const ED25519_PUBLIC: &str = "MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
const ED25519_PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF";
const SHARED_SECRET: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

/// Returns the last bytes of a DER structure, which contain the key.
fn tail<const N: usize>(der: &[u8]) -> &[u8; N] {
    der.last_chunk().expect("long enough")
}

/// A 2048-bit key with e = 65537 ends in the modulus, then `02 03 010001`.
fn rsa_key(der: &str) -> VerificationKey {
    let der = unbase64(der);
    let modulus: &[u8; 256] = tail(&der[..der.len() - 5]);
    VerificationKey::rsa_from_components(modulus, &[1, 0, 1]).expect("a valid key")
}

fn p256_key() -> VerificationKey {
    VerificationKey::ecdsa_p256_from_sec1(tail::<65>(&unbase64(ECC_P256_PUBLIC))).expect("a valid key")
}

fn ed25519_key() -> VerificationKey {
    VerificationKey::ed25519_from_bytes(tail(&unbase64(ED25519_PUBLIC))).expect("a valid key")
}

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).expect("a field name");
        fields.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    fields
}

fn post<'a>(authority: &'a str, headers: &'a HeaderMap) -> RequestView<'a> {
    RequestView { method: "POST", scheme: "https", authority, target: "/foo?param=Value&Pet=dog", headers }
}

const REQUEST_DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

/// Appendix B.2, `test-request`.
fn test_request_fields() -> HeaderMap {
    fields(&[
        ("Host", "example.com"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", REQUEST_DIGEST),
        ("Content-Length", "18"),
    ])
}

/// Builds the base, compares it with the published one, verifies the published signature and refuses a changed one.
fn check(
    message: &Message<'_>,
    member: &str,
    base: &str,
    key: &VerificationKey,
    algorithm: Algorithm,
    signature: &str,
) {
    let parameters = SignatureParameters::parse(member).expect("a member of Signature-Input");
    assert_eq!(parameters.serialize(), member);
    assert_eq!(parameters.signature_base(message).expect("a base"), base);
    let mut signature = unbase64(signature);
    assert_eq!(key.verify(algorithm, base.as_bytes(), &signature), Ok(()));
    signature[0] ^= 1;
    assert!(key.verify(algorithm, base.as_bytes(), &signature).is_err());
}

#[test]
fn b_2_1_minimal_signature_using_rsa_pss_sha512() {
    let headers = test_request_fields();
    let member = r#"();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
    check(
        &Message::request(post("example.com", &headers)),
        member,
        &format!("\"@signature-params\": {member}"),
        &rsa_key(RSA_PSS_PUBLIC),
        Algorithm::RsaPssSha512,
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopem
         LJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG
         52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx
         2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6
         UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3
         +7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==",
    );
}

#[test]
fn b_2_2_selective_covered_components_using_rsa_pss_sha512() {
    let headers = test_request_fields();
    let member = r#"("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#;
    let base = format!(
        "\"@authority\": example.com\n\
         \"content-digest\": {REQUEST_DIGEST}\n\
         \"@query-param\";name=\"Pet\": dog\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::request(post("example.com", &headers)),
        member,
        &base,
        &rsa_key(RSA_PSS_PUBLIC),
        Algorithm::RsaPssSha512,
        "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQ
         EdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT
         8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SA
         RYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd
         4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoK
         UqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==",
    );
}

#[test]
fn b_2_3_full_coverage_using_rsa_pss_sha512() {
    let headers = test_request_fields();
    let member = r#"("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
    let base = format!(
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@method\": POST\n\
         \"@path\": /foo\n\
         \"@query\": ?param=Value&Pet=dog\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"content-digest\": {REQUEST_DIGEST}\n\
         \"content-length\": 18\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::request(post("example.com", &headers)),
        member,
        &base,
        &rsa_key(RSA_PSS_PUBLIC),
        Algorithm::RsaPssSha512,
        "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yB
         iMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fU
         xN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1
         pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9
         bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5Z
         JzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==",
    );
}

#[test]
fn b_2_4_signing_a_response_using_ecdsa_p256_sha256() {
    let digest = "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";
    let headers = fields(&[
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", digest),
        ("Content-Length", "23"),
    ]);
    let member =
        r#"("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#;
    let base = format!(
        "\"@status\": 200\n\
         \"content-type\": application/json\n\
         \"content-digest\": {digest}\n\
         \"content-length\": 23\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::response(ResponseView { status: 200, headers: &headers, request: None }),
        member,
        &base,
        &p256_key(),
        Algorithm::EcdsaP256Sha256,
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==",
    );
}

#[test]
fn b_2_5_signing_a_request_using_hmac_sha256() {
    let headers = test_request_fields();
    let member = r#"("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let base = format!(
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::request(post("example.com", &headers)),
        member,
        &base,
        &VerificationKey::hmac_sha256(&unbase64(SHARED_SECRET)),
        Algorithm::HmacSha256,
        "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    );
}

#[test]
fn b_2_6_signing_a_request_using_ed25519() {
    let headers = test_request_fields();
    let member = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let base = format!(
        "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
         \"@method\": POST\n\
         \"@path\": /foo\n\
         \"@authority\": example.com\n\
         \"content-type\": application/json\n\
         \"content-length\": 18\n\
         \"@signature-params\": {member}"
    );
    let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let request = post("example.com", &headers);
    check(&Message::request(request), member, &base, &ed25519_key(), Algorithm::Ed25519, signature);
    // Ed25519 is deterministic, so that the published private key makes the published signature.
    let key = http_signature::Ed25519SigningKey::from_seed(tail(&unbase64(ED25519_PRIVATE)));
    assert_eq!(key.sign(base.as_bytes()).expect("a signature"), unbase64(signature));
}

#[test]
fn b_3_tls_terminating_proxy() {
    let certificate = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxB\
        IEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQ\
        cDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAf\
        BgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYm\
        RjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0\
        wmuydBVoU4hBVZ1yhk=:";
    let headers = fields(&[
        ("Host", "service.internal.example"),
        ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Length", "18"),
        ("Client-Cert", certificate),
    ]);
    let member =
        r#"("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#;
    let base = format!(
        "\"@path\": /foo\n\
         \"@query\": ?param=Value&Pet=dog\n\
         \"@method\": POST\n\
         \"@authority\": service.internal.example\n\
         \"client-cert\": {certificate}\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::request(post("service.internal.example", &headers)),
        member,
        &base,
        &p256_key(),
        Algorithm::EcdsaP256Sha256,
        "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==",
    );
}

/// Appendix B.4: one signed request and what intermediaries may and may not do to it.
fn transformed_request_verifies(method: &str, authority: &str, target: &str, lines: &[(&str, &str)]) -> bool {
    let headers = fields(lines);
    let member = r#"("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#;
    let signature =
        unbase64("ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==");
    let message = Message::request(RequestView { method, scheme: "https", authority, target, headers: &headers });
    let parameters = SignatureParameters::parse(member).expect("a member of Signature-Input");
    assert_eq!(parameters.parameter("keyid"), Some(BareItem::String("test-key-ed25519")));
    let base = parameters.signature_base(&message).expect("a base");
    ed25519_key().verify(Algorithm::Ed25519, base.as_bytes(), &signature).is_ok()
}

const DATE: (&str, &str) = ("Date", "Fri, 15 Jul 2022 14:24:55 GMT");
const JSON: (&str, &str) = ("Accept", "application/json");
const ANY: (&str, &str) = ("Accept", "*/*");
const DEMO: &str = "/demo?name1=Value1&Name2=value2";

#[test]
fn b_4_signature_survives_what_it_does_not_cover() {
    assert!(transformed_request_verifies("GET", "example.org", DEMO, &[("Host", "example.org"), DATE, JSON, ANY]));
    let language = ("Accept-Language", "en-US,en;q=0.5");
    let target = "/demo?name1=Value1&Name2=value2&param=added";
    assert!(transformed_request_verifies("GET", "example.org", target, &[DATE, JSON, ANY, language]));
}

#[test]
fn b_4_signature_survives_collapsed_and_reordered_fields() {
    let referer = ("Referer", "https://developer.example.org/demo");
    let collapsed = ("Accept", "application/json, */*");
    assert!(transformed_request_verifies("GET", "example.org", DEMO, &[referer, collapsed]));
    assert!(transformed_request_verifies("GET", "example.org", DEMO, &[JSON, ANY, DATE, ("Host", "example.org")]));
}

#[test]
fn b_4_signature_does_not_survive_changes_to_what_it_covers() {
    assert!(!transformed_request_verifies("POST", "example.com", DEMO, &[DATE, JSON, ANY]));
    assert!(!transformed_request_verifies("GET", "example.org", DEMO, &[DATE, ANY, JSON]));
}

#[test]
fn section_2_4_response_bound_to_its_request() {
    let request_headers = test_request_fields();
    let digest = "sha-512=:0Y6iCBzGg5rZtoXS95Ijz03mslf6KAMCloESHObfwnHJDbkkWWQz6PhhU9kxsTbARtY2PTBOzq24uJFpHsMuAg==:";
    let headers = fields(&[
        ("Date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("Content-Type", "application/json"),
        ("Content-Digest", digest),
        ("Content-Length", "62"),
    ]);
    let member = r#"("@status" "content-digest" "content-type" "@authority";req "@method";req "@path";req "content-digest";req);created=1618884479;keyid="test-key-ecc-p256""#;
    let base = format!(
        "\"@status\": 503\n\
         \"content-digest\": {digest}\n\
         \"content-type\": application/json\n\
         \"@authority\";req: example.com\n\
         \"@method\";req: POST\n\
         \"@path\";req: /foo\n\
         \"content-digest\";req: {REQUEST_DIGEST}\n\
         \"@signature-params\": {member}"
    );
    check(
        &Message::response(ResponseView {
            status: 503,
            headers: &headers,
            request: Some(post("example.com", &request_headers)),
        }),
        member,
        &base,
        &p256_key(),
        Algorithm::EcdsaP256Sha256,
        "dMT/A/76ehrdBTD/2Xx8QuKV6FoyzEP/I9hdzKN8LQJLNgzU4W767HK05rx1i8meNQQgQPgQp8wq2ive3tV5Ag==",
    );
}

#[test]
fn published_public_keys_verify_signatures_of_published_private_keys() {
    let message = b"a signature base";
    let rsa = RsaSigningKey::from_pkcs1(&unbase64(RSA_PRIVATE)).expect("a valid key");
    assert_eq!(rsa.public_key(), unbase64(RSA_PUBLIC));
    let public = rsa_key(RSA_PUBLIC);
    let signature = rsa.sign(message).expect("a signature");
    assert_eq!(public.verify(Algorithm::RsaPssSha512, message, &signature), Ok(()));
    assert!(public.verify(Algorithm::RsaV1_5Sha256, message, &signature).is_err());

    let rsa = rsa.with_v1_5_padding();
    let signature = rsa.sign(message).expect("a signature");
    assert_eq!(public.verify(Algorithm::RsaV1_5Sha256, message, &signature), Ok(()));
    assert!(public.verify(Algorithm::RsaV1_5Sha512, message, &signature).is_err());

    let point = unbase64(ECC_P256_PUBLIC);
    let ecdsa = EcdsaSigningKey::p256_from_parts(&unbase64(ECC_P256_SCALAR), tail::<65>(&point)).expect("a valid key");
    let signature = ecdsa.sign(message).expect("a signature");
    assert_eq!(p256_key().verify(Algorithm::EcdsaP256Sha256, message, &signature), Ok(()));
}
