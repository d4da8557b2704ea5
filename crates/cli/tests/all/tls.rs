//! `keyward serve` with a certificate, and with metrics.

use crate::support::{Home, Running};

#[test]
fn a_certificate_in_the_settings_is_served_and_half_of_one_is_refused() {
    let home = Home::new();
    home.tool(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "tls.key",
            "-out",
            "tls.pem",
        ],
    );
    home.write("keyward.toml", "tls_certificate = \"tls.pem\"\n");
    assert!(home.run(&["serve"]).refused().contains("setting `tls_key`"));
    home.write("keyward.toml", "tls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"\n");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let server = Running::start(home.keyward(&serve));
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let line = server.line_with("metrics are on ");
    let metrics = line.split_whitespace().nth(3).expect("a URL");
    let ready =
        home.tool("curl", &["--silent", "--show-error", "--cacert", "tls.pem", &format!("{}/readyz", server.url)]);
    assert_eq!(ready, "ready\n");
    let told = home.tool("curl", &["--silent", "--show-error", metrics]);
    assert!(told.contains("keyward_holds_lease 1"), "{told}");
    assert_eq!(server.stop(), Some(0));
}
