//! The server: the operations of Keyward (`App`), and what they are asked through.

mod address;
pub mod app;
pub mod authentication;
pub mod directory;
pub mod error;
pub mod feed;
pub mod hosts;
pub mod http;

mod journal;
pub mod mail;
mod metrics;
mod rate_limit;
pub mod settings;
pub mod system;
mod ui;

pub use app::App;
pub use error::AppError;
pub use settings::Settings;
pub use store::{StoreError, file as data_file};
