//! The static files of pages: styles, scripts, the font, icons. They are part of the binary, and browsers cache them until
//! they change.

use std::io::Write as _;

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::{AppError, http::LoggedRoute};

const FILES: [(&str, &str, &[u8]); 13] = [
    ("/static/app.css", "text/css; charset=utf-8", include_bytes!("../../static/app.css")),
    ("/static/first-use.js", "text/javascript; charset=utf-8", include_bytes!("../../static/first-use.js")),
    ("/static/keys.js", "text/javascript; charset=utf-8", include_bytes!("../../static/keys.js")),
    ("/static/openssh.js", "text/javascript; charset=utf-8", include_bytes!("../../static/openssh.js")),
    ("/static/pages.js", "text/javascript; charset=utf-8", include_bytes!("../../static/pages.js")),
    ("/static/palette.js", "text/javascript; charset=utf-8", include_bytes!("../../static/palette.js")),
    ("/static/slug.js", "text/javascript; charset=utf-8", include_bytes!("../../static/slug.js")),
    ("/static/chevron.svg", "image/svg+xml", include_bytes!("../../static/chevron.svg")),
    ("/static/copy.svg", "image/svg+xml", include_bytes!("../../static/copy.svg")),
    ("/static/inter-LICENSE.txt", "text/plain; charset=utf-8", include_bytes!("../../static/inter-LICENSE.txt")),
    ("/static/inter-latin.woff2", "font/woff2", include_bytes!("../../static/inter-latin.woff2")),
    ("/static/mark.svg", "image/svg+xml", include_bytes!("../../static/mark.svg")),
    ("/favicon.ico", "image/svg+xml", include_bytes!("../../static/mark.svg")),
];

/// A file in one encoding.
#[derive(Clone)]
struct Sent {
    bytes: Bytes,
    tag: String,
}

impl Sent {
    fn new(bytes: Bytes) -> Self {
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..12]));
        Self { bytes, tag }
    }

    /// Compresses the file with gzip, if that makes it smaller.
    fn compress(bytes: &[u8]) -> Option<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).ok()?;
        let compressed = encoder.finish().ok()?;
        (compressed.len() < bytes.len()).then(|| Self::new(compressed.into()))
    }
}

pub(super) fn router() -> Router {
    let router = FILES.into_iter().fold(Router::new(), |router, (path, content_type, bytes)| {
        // Files are compressed once at the start. Pages are never compressed, because they contain tokens together with
        // text from other users.
        let (plain, gzip) = (Sent::new(Bytes::from_static(bytes)), Sent::compress(bytes));
        router.route(
            path,
            get(move |request: Request| {
                let mut answer = serve(request.headers(), content_type, &plain, gzip.as_ref());
                answer.extensions_mut().insert(LoggedRoute::Fixed(path));
                async { answer }
            }),
        )
    });
    router.method_not_allowed_fallback(|| async { AppError::MethodNotAllowed })
}

fn serve(asked: &HeaderMap, content_type: &'static str, plain: &Sent, gzip: Option<&Sent>) -> Response {
    let gzip = gzip.filter(|_| accepts_gzip(asked));
    let Sent { bytes, tag } = gzip.unwrap_or(plain);
    let is_known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { bytes.clone().into_response() };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    if gzip.is_some() && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Browsers revalidate the file on each use, so that a page never uses a script of another release.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(
        header::HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

/// Returns whether a client accepts gzip (RFC 9110 §12.5.3).
fn accepts_gzip(asked: &HeaderMap) -> bool {
    let codings = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|codings| codings.to_str().ok());
    codings.flat_map(|codings| codings.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()).unwrap_or(1.0_f32);
        name.trim().eq_ignore_ascii_case("gzip") && weight > 0.0
    })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    const STYLE: &str = include_str!("../../static/app.css");

    /// Returns a color of the light or the dark theme, as its relative luminance (WCAG 2.2).
    fn luminance(token: &str, dark: bool) -> f64 {
        let (_, value) = STYLE.split_once(&format!("--{token}: ")).unwrap_or_else(|| panic!("no {token}"));
        let value = value.split(';').next().unwrap();
        let pair = value
            .strip_prefix("light-dark(")
            .and_then(|pair| pair.strip_suffix(')'))
            .and_then(|pair| pair.split_once(", "));
        let (light, darker) = pair.unwrap_or((value, value));
        let hex = if dark { darker } else { light };
        let channel = |at: usize| {
            let part = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn colors_have_enough_contrast_in_both_themes() {
        let text = [
            ("text", &["ground", "surface", "sunken"][..]),
            ("muted", &["ground", "surface", "sunken"]),
            ("faint", &["ground", "surface", "sunken"]),
            ("accent", &["ground", "surface", "sunken"]),
            ("accent-2", &["tint"]),
            ("on-accent", &["accent"]),
            ("danger", &["surface", "danger-tint"]),
            ("on-danger", &["danger-fill"]),
            ("warn", &["surface", "warn-tint"]),
            ("on-inverse", &["inverse"]),
            ("inverse-link", &["inverse"]),
        ];
        let shapes = [
            ("control", &["ground", "surface", "sunken", "hover"][..]),
            ("bar", &["surface"]),
            ("bar-2", &["surface"]),
            ("focus", &["ground", "surface"]),
        ];
        for (colors, least) in [(&text[..], 4.5), (&shapes, 3.0)] {
            for (color, grounds) in colors {
                for (ground, dark) in grounds.iter().flat_map(|ground| [(*ground, false), (*ground, true)]) {
                    let (one, other) = (luminance(color, dark), luminance(ground, dark));
                    let ratio = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                    assert!(ratio >= least, "{color} on {ground}, dark: {dark}: {ratio:.2}");
                }
            }
        }
    }
    /// Returns the files below a folder whose names end in `ending`.
    fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let found = entries.flat_map(|path| if path.is_dir() { files(&path, ending) } else { vec![path] });
        found.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
    }

    fn words(text: &str) -> impl Iterator<Item = &str> {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        text.split(move |letter| !is_part(letter))
    }

    #[test]
    fn every_class_of_the_style_sheet_is_on_a_page() {
        // Their names have the number of labels of a chart.
        const COUNTED: [&str; 2] = ["by-4", "by-7"];
        let mut used: BTreeSet<String> = COUNTED.map(str::to_owned).into();
        let server = Path::new(env!("CARGO_MANIFEST_DIR"));
        for template in files(&server.join("templates"), ".html") {
            let text = fs::read_to_string(template).unwrap();
            for value in text.split("class=").skip(1) {
                let value = value.trim_start_matches('\\');
                // Between quotes are several classes, and code that chooses them. A value without quotes is one class.
                let (value, end) = value.strip_prefix('"').map_or((value, [' ', '>']), |quoted| (quoted, ['"', '"']));
                used.extend(words(value.split(end).next().unwrap()).map(str::to_owned));
            }
        }
        // Code has them one by one, and scripts on lines about classes.
        let is_word = |text: &&str| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
        for code in files(&server.join("src/ui"), ".rs") {
            let text = fs::read_to_string(code).unwrap();
            let literals = text.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
            used.extend(literals.filter(is_word).map(str::to_owned));
        }
        for script in files(&server.join("static"), ".js") {
            let text = fs::read_to_string(script).unwrap();
            let lines = text.lines().filter(|line| line.contains(".class"));
            used.extend(lines.flat_map(|line| line.split('\'').skip(1).step_by(2)).flat_map(words).map(str::to_owned));
        }
        // Without comments, texts and declarations, what follows a dot is a class.
        let mut selectors = String::new();
        for part in STYLE.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, rest)| rest)) {
            for open in part.split('}') {
                let selector = open.rfind('{').map_or(open, |end| &open[..end]);
                selectors.extend([selector.rsplit(['{', ';']).next().unwrap(), "\n"]);
            }
        }
        let classes: BTreeSet<_> = selectors
            .split('.')
            .skip(1)
            .filter_map(|after| words(after).next())
            .filter(|class| class.starts_with(|letter: char| letter.is_ascii_alphabetic()))
            .collect();
        assert!(classes.len() > 100, "{classes:?}");
        let dead: Vec<_> = classes.into_iter().filter(|class| !used.contains(*class)).collect();
        assert!(dead.is_empty(), "no page has the classes {dead:?}");
    }
}
