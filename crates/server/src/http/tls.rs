//! TLS (rustls). The certificate and key are read from PEM files, and again when the files change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The paths of a certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key (PKCS#8, PKCS#1 or SEC 1).
    pub key: PathBuf,
}

/// The content of the files when a certificate and key were read.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl TlsFiles {
    async fn read(&self) -> io::Result<Contents> {
        Ok(Contents { certificate: read(&self.certificate).await?, key: read(&self.key).await? })
    }

    fn configure(&self, contents: &Contents) -> io::Result<Arc<ServerConfig>> {
        let refuse = |path: &Path, reason: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {reason}", path.display()))
        };
        let chain = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| refuse(&self.certificate, format!("this is not a PEM certificate ({e})")))?;
        if chain.is_empty() {
            return Err(refuse(&self.certificate, "it contains no PEM certificate".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|e| refuse(&self.key, format!("this is not a PEM private key without a passphrase ({e})")))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|e| refuse(&self.key, format!("the key does not match the certificate ({e})")))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reads both files, and watches them in the returned task. A new pair is used for new connections. If it is
    /// incomplete or invalid, an error is logged and the previous pair is kept.
    pub(crate) async fn load(
        self,
    ) -> io::Result<(Arc<ArcSwap<ServerConfig>>, impl Future<Output = ()> + Send + 'static)> {
        let mut loaded = self.read().await?;
        let config = Arc::new(ArcSwap::new(self.configure(&loaded)?));
        let current = Arc::clone(&config);
        let follow = async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let found = match self.read().await {
                    Ok(found) if found == loaded => continue,
                    Ok(found) => found,
                    Err(error) => {
                        tracing::error!(%error, "the TLS files cannot be read; the current certificate stays in use");
                        continue;
                    }
                };
                match self.configure(&found) {
                    Ok(config) => {
                        current.store(config);
                        tracing::info!("the TLS certificate was read again");
                    }
                    Err(error) => {
                        tracing::error!(%error, "the new TLS files are invalid; the current certificate stays in use");
                    }
                }
                loaded = found;
            }
        };
        Ok((config, follow))
    }
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}
