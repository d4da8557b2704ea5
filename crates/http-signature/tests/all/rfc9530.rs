//! RFC 9530: the digests of appendix D, and all cases in which a `Content-Digest` is not accepted for a body.

use http_signature::{ContentDigest, DigestError, content_digest};

const BODY: &[u8] = br#"{"hello": "world"}"#;
const SHA_512: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const SHA_256: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
const WRONG_SHA_256: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";

fn verify(field: &str, body: &[u8]) -> Result<(), DigestError> {
    ContentDigest::parse(field)?.verify(body)
}

#[test]
fn appendix_d_digests_that_are_accepted() {
    assert_eq!(verify(SHA_512, BODY), Ok(()));
    assert_eq!(verify(SHA_256, BODY), Ok(()));
    assert_eq!(verify(&format!("{SHA_256}, {SHA_512}"), BODY), Ok(()));
    assert_eq!(content_digest(BODY), SHA_256);
}

#[test]
fn appendix_d_digests_that_are_refused_as_weak() {
    let weak = [
        "md5=:Sd/dVLAcvNLSq16eXua5uQ==:",
        "sha=:07CavjDP4u3/TungoUHJO/Wzr4c=:",
        "unixsum=:GQU=:",
        "unixcksum=:7zsHAA==:",
        "adler=:OZkGFw==:",
        "crc32c=:Q3lHIA==:",
    ];
    for field in weak {
        assert_eq!(verify(field, BODY), Err(DigestError::UnsupportedAlgorithm), "{field}");
        // Also together with a strong one, because a later recipient may trust the weak one.
        assert_eq!(verify(&format!("{SHA_256}, {field}"), BODY), Err(DigestError::UnsupportedAlgorithm), "{field}");
    }
}

#[test]
fn each_flipped_byte_of_a_body_is_detected() {
    for field in [SHA_256, SHA_512] {
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(verify(field, &body), Err(DigestError::Mismatch), "{field}, byte {at}");
        }
        assert_eq!(verify(field, b""), Err(DigestError::Mismatch));
    }
}

#[test]
fn right_and_wrong_together_are_refused() {
    assert_eq!(verify(&format!("{WRONG_SHA_256}, {SHA_512}"), BODY), Err(DigestError::Mismatch));
    assert_eq!(verify(&format!("{SHA_512}, {WRONG_SHA_256}"), BODY), Err(DigestError::Mismatch));
    assert_eq!(verify(&format!("{WRONG_SHA_256}, {SHA_256}"), BODY), Err(DigestError::Duplicate));
    assert_eq!(verify(&format!("{SHA_256}, {SHA_256}"), BODY), Err(DigestError::Duplicate));
}

#[test]
fn a_truncated_digest_is_no_digest() {
    assert_eq!(verify("sha-256=:X48E9qOokqqrvdts8nOJRA==:", BODY), Err(DigestError::WrongLength));
    assert_eq!(verify("sha-256=::", BODY), Err(DigestError::WrongLength));
    let swapped = SHA_512.replace("sha-512", "sha-256");
    assert_eq!(verify(&swapped, BODY), Err(DigestError::WrongLength));
}

#[test]
fn spellings_of_base64_that_lenient_parsers_accept_are_refused() {
    let variants = [
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE:",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPF=:",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE==:",
        "sha-256=:X48E9qOokqqrvdts8nOJ RJN3OWDUoyWxBf7kbu9DBPE=:",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "sha-256=\"X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=\"",
        "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "sha-256 = :X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:;a",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:,",
        "sha-256",
        "",
    ];
    for field in variants {
        assert!(matches!(verify(field, BODY), Err(DigestError::Malformed(_))), "{field}");
    }
}
