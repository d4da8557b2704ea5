//! The server: the operations of Keyward (`App`), the API and the pages that call them, and the listener.

pub mod app;
pub mod cluster;
pub mod error;
pub mod http;
pub mod mail;
mod metrics;
pub mod request_log;
pub mod router;
pub mod serve;
pub mod settings;
pub mod system;
mod ui;

pub use app::App;
pub use error::{AppError, Conflict};
pub use router::{build_router, list_page_routes};
pub use serve::{Server, ServerOptions};
pub use settings::Settings;
pub use store::{StoreError, file as data_file};
