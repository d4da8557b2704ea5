//! The requests. Each signed one has a nonce of its own, so that no signature is sent twice.

use std::io::Write as _;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    arguments::Arguments,
    clock,
    keys::{Key, make_keys},
};

/// The host of the API behind the proxy.
const PROXIED_HOST: &str = "api.example.com";

enum Kind {
    /// A signed read of Keyward's own API.
    Native,
    /// What nginx asks about a signed read.
    Nginx,
    /// A signed read of the API behind the proxy, sent to the proxy.
    Proxied,
    /// A request without a signature.
    Plain(String),
    /// The requests of a file, sent in turn, again and again. Such requests have a bearer secret, which does not change.
    List(Vec<Vec<u8>>),
}

pub(crate) struct Requests {
    kind: Kind,
    authority: String,
    keys: Vec<Key>,
    prefix: [u8; 12],
    next: u32,
    /// Signed requests that are not sent yet, one after the other, and where each ends.
    prepared: Vec<u8>,
    ends: Vec<usize>,
    sent: usize,
    inline: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, String> {
        let kind = match arguments.kind.as_str() {
            "native" => Kind::Native,
            "nginx" => Kind::Nginx,
            "proxied" => Kind::Proxied,
            "list" => {
                let path = arguments.requests.display();
                let text = std::fs::read(&arguments.requests).map_err(|error| format!("--requests {path}: {error}"))?;
                Kind::List(parse_list(&text).ok_or_else(|| format!("--requests {path} is not a list of requests"))?)
            }
            path if path.starts_with('/') => Kind::Plain(path.to_owned()),
            other => return Err(format!("--kind {other} is not native, nginx, proxied, list or a path")),
        };
        Ok(Self {
            kind,
            authority: arguments.authority.clone(),
            keys: make_keys(arguments.keys),
            prefix: clock::random_bytes()?,
            next: 0,
            prepared: Vec::new(),
            ends: Vec::new(),
            sent: 0,
            inline: Vec::new(),
        })
    }

    /// Signs requests before they are needed. The signatures are valid for a minute.
    pub(crate) fn prepare(&mut self, count: usize) {
        let count = if matches!(self.kind, Kind::Plain(_) | Kind::List(_)) { 0 } else { count };
        for _ in 0..count {
            let mut request = std::mem::take(&mut self.prepared);
            self.write_next(&mut request);
            self.ends.push(request.len());
            self.prepared = request;
        }
    }

    /// Returns the next request. If all prepared ones are sent, it is signed now.
    pub(crate) fn next(&mut self) -> &[u8] {
        let Some(end) = self.ends.get(self.sent).copied() else {
            let mut request = std::mem::take(&mut self.inline);
            request.clear();
            self.write_next(&mut request);
            self.inline = request;
            return &self.inline;
        };
        let begin = self.sent.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.sent += 1;
        self.prepared.get(begin..end).unwrap_or_default()
    }

    fn write_next(&mut self, request: &mut Vec<u8>) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let authority = &self.authority;
        // Writing to memory cannot fail.
        let _ = match &self.kind {
            Kind::Plain(path) => write!(request, "GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n"),
            Kind::List(list) => {
                request.extend(list.get(number as usize % list.len().max(1)).into_iter().flatten());
                Ok(())
            }
            Kind::Proxied => {
                let target = format!("/v2/orders/{number}");
                let (input, signature) = self.sign(number, PROXIED_HOST, &format!("http://{PROXIED_HOST}{target}"));
                write!(
                    request,
                    "GET {target} HTTP/1.1\r\nhost: {PROXIED_HOST}\r\nuser-agent: load-generator\r\naccept: */*\r\n\
                     signature-input: k={input}\r\nsignature: k=:{signature}:\r\n\r\n"
                )
            }
            Kind::Native => {
                let (input, signature) = self.sign(number, authority, &format!("http://{authority}/api/v1/me"));
                write!(
                    request,
                    "GET /api/v1/me HTTP/1.1\r\nhost: {authority}\r\nuser-agent: load-generator\r\naccept: */*\r\n\
                     signature-input: k={input}\r\nsignature: k=:{signature}:\r\n\r\n"
                )
            }
            Kind::Nginx => {
                let target = format!("/v2/orders/{number}");
                let (input, signature) = self.sign(number, PROXIED_HOST, &format!("https://{PROXIED_HOST}{target}"));
                write!(
                    request,
                    "GET /auth/nginx HTTP/1.1\r\nhost: {authority}\r\nx-original-method: GET\r\n\
                     x-original-scheme: https\r\nx-original-host: {PROXIED_HOST}\r\nx-original-uri: {target}\r\n\
                     x-original-address: 192.0.2.1\r\nuser-agent: load-generator\r\naccept: */*\r\n\
                     signature-input: k={input}\r\nsignature: k=:{signature}:\r\n\r\n"
                )
            }
        };
    }

    /// Returns the values of Signature-Input and Signature, without their label.
    fn sign(&self, number: u32, authority: &str, target: &str) -> (String, String) {
        let mut nonce = [0; 16];
        nonce[..12].copy_from_slice(&self.prefix);
        nonce[12..].copy_from_slice(&number.to_be_bytes());
        let now = clock::unix_seconds();
        let Some(key) = self.keys.get(number as usize % self.keys.len().max(1)) else { return Default::default() };
        let input = format!(
            "(\"@method\" \"@authority\" \"@target-uri\");created={now};expires={};nonce=\"{}\";keyid=\"{}\";tag=\"keyward\"",
            now + 60,
            URL_SAFE_NO_PAD.encode(nonce),
            key.fingerprint()
        );
        let base = format!(
            "\"@method\": GET\n\"@authority\": {authority}\n\"@target-uri\": {target}\n\"@signature-params\": {input}"
        );
        let signature = STANDARD.encode(key.sign(base.as_bytes()));
        (input, signature)
    }
}

/// Returns the requests of a file, in which each one follows a line with its length in bytes.
fn parse_list(mut text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    while !text.is_empty() {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let length = str::from_utf8(text.get(..end)?).ok()?.parse().ok()?;
        let (request, rest) = text.get(end + 1..)?.split_at_checked(length)?;
        requests.push(request.to_vec());
        text = rest;
    }
    (!requests.is_empty()).then_some(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_of_a_list_are_sent_in_turn() {
        let path = std::env::temp_dir().join(format!("load-generator-{}", std::process::id()));
        std::fs::write(&path, "4\na\n\n42\nb1").unwrap();
        let words = ["requests", "--kind", "list", "--requests", path.to_str().unwrap()];
        let arguments = Arguments::read(words.map(str::to_owned).into_iter()).unwrap();
        let requests = Requests::new(&arguments);
        std::fs::remove_file(&path).unwrap();
        let mut requests = requests.unwrap();
        requests.prepare(3);
        let sent: Vec<_> = (0..3).map(|_| requests.next().to_vec()).collect();
        assert_eq!(sent, [b"a\n\n4".to_vec(), b"b1".to_vec(), b"a\n\n4".to_vec()]);
    }

    #[test]
    fn a_list_with_a_wrong_length_is_refused() {
        for text in ["", "3\nab", "x\nab", "2\nabc", "2"] {
            assert_eq!(parse_list(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn no_two_requests_are_the_same_and_prepared_ones_come_first() {
        let arguments = Arguments::read(["requests", "--keys", "2"].map(str::to_owned).into_iter()).unwrap();
        let mut requests = Requests::new(&arguments).unwrap();
        requests.prepare(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let request = String::from_utf8(requests.next().to_vec()).unwrap();
            assert!(request.starts_with("GET /api/v1/me HTTP/1.1\r\n") && request.ends_with(":\r\n\r\n"));
            assert!(seen.insert(request), "a request is sent twice");
        }
        assert_eq!(requests.sent, 3);
    }
}
