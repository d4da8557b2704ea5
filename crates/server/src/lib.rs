//! The server: the operations of Keyward (`App`), and what they are asked through.

pub mod app;
pub mod cluster;
pub mod error;
pub mod http;
pub mod mail;
mod metrics;
pub mod settings;
pub mod system;
mod ui;

pub use app::App;
pub use error::AppError;
pub use settings::Settings;
pub use store::{StoreError, file as data_file};
