//! The device of a session, from its User-Agent. People recognise a browser and an operating system, and nothing else of
//! it is shown. A User-Agent proves nothing: any client may send any text.

use std::fmt;

/// The browser and the operating system of a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Device {
    browser: Option<&'static str>,
    system: Option<&'static str>,
    kind: DeviceKind,
}

/// The kind of a device, for its icon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DeviceKind {
    /// A desktop or laptop, or an unknown device.
    Computer,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A program.
    Program,
}

/// Products, the most specific first: a browser also names those that it is compatible with.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("YaBrowser/", "Yandex Browser"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Trident/", "Internet Explorer"),
    // Safari names its version separately. Programs with the same engine do not.
    ("Version/", "Safari"),
    ("keyward/", "Keyward command line"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
    ("Go-http-client/", "Go"),
];

/// Operating systems, the most specific first: that of an iPhone also names that of a Mac, and Android names Linux.
const SYSTEMS: &[(&str, &str, DeviceKind)] = &[
    ("iPhone", "iPhone", DeviceKind::Phone),
    ("iPad", "iPad", DeviceKind::Tablet),
    ("Android", "Android", DeviceKind::Phone),
    ("CrOS", "ChromeOS", DeviceKind::Computer),
    ("Windows", "Windows", DeviceKind::Computer),
    ("Macintosh", "macOS", DeviceKind::Computer),
    ("Linux", "Linux", DeviceKind::Computer),
    ("FreeBSD", "FreeBSD", DeviceKind::Computer),
    ("OpenBSD", "OpenBSD", DeviceKind::Computer),
];

/// The browsers that are programs without pages.
const PROGRAMS: &[&str] = &["Keyward command line", "curl", "Wget", "Python", "Go"];

impl Device {
    /// Recognises the browser and the operating system in a User-Agent.
    #[must_use]
    pub fn of_user_agent(text: &str) -> Self {
        let browser = BROWSERS.iter().find(|(token, _)| text.contains(token)).map(|(_, name)| *name);
        // Only Safari has both `Version/` and `Safari/`. The old browser of Android has them, too.
        let browser = browser.filter(|name| *name != "Safari" || text.contains("Safari/"));
        let system = SYSTEMS.iter().find(|(token, ..)| text.contains(token));
        let kind = match system {
            _ if browser.is_some_and(|name| PROGRAMS.contains(&name)) => DeviceKind::Program,
            // Android names phones only.
            Some((_, "Android", _)) if !text.contains("Mobile") => DeviceKind::Tablet,
            Some((.., kind)) => *kind,
            None => DeviceKind::Computer,
        };
        Self { browser, system: system.map(|(_, name, _)| *name), kind }
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(self) -> DeviceKind {
        self.kind
    }
}

/// Such as `Firefox on Windows`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.browser, self.system) {
            (Some(browser), Some(system)) => write!(f, "{browser} on {system}"),
            (Some(browser), None) => f.write_str(browser),
            (None, Some(system)) => write!(f, "Unknown browser on {system}"),
            (None, None) => f.write_str("Unknown device"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_recognised_by_its_user_agent() {
        use DeviceKind::{Computer, Phone, Program, Tablet};
        for (text, name, kind) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox on Windows",
                Computer,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux", Computer),
            ("Mozilla/5.0 (Android 15; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0", "Firefox on Android", Phone),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/145.0 Mobile/15E148 Safari/605.1.15",
                "Firefox on iPhone",
                Phone,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Windows",
                Computer,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
                Computer,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 OPR/120.0.0.0",
                "Opera on Linux",
                Computer,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/142.0.0.0 Safari/537.36",
                "Chrome on Linux",
                Computer,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                "Safari on macOS",
                Computer,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
                Phone,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.0.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPad",
                Tablet,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
                Phone,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Safari/537.36",
                "Samsung Internet on Android",
                Tablet,
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on ChromeOS",
                Computer,
            ),
            ("keyward/0.1.0", "Keyward command line", Program),
            ("curl/8.14.1", "curl", Program),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
                "Unknown browser on macOS",
                Computer,
            ),
            ("Version/1.0", "Unknown device", Computer),
            ("<script>alert(1)</script>", "Unknown device", Computer),
            ("", "Unknown device", Computer),
        ] {
            let device = Device::of_user_agent(text);
            assert_eq!((device.to_string().as_str(), device.kind()), (name, kind), "{text}");
        }
    }
}
