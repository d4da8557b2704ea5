//! http-signature
