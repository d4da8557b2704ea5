//! Help: the answers to frequent questions, and the guides from `docs/`.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{
    extract::Ids,
    page::{self, PageError, Shell},
    page_context::PageContext,
    routes::Pages,
};
use crate::{App, AppError};

/// The guides for users of keys, by the name of their file.
const GUIDES: [(&str, &str, &str); 3] = [
    ("user-guide", "User guide", include_str!("../../../../docs/user-guide.md")),
    ("terminal-keys", "Keys made in a terminal", include_str!("../../../../docs/terminal-keys.md")),
    ("sdk", "The Encord SDK", include_str!("../../../../docs/sdk.md")),
];

pub(super) fn router() -> Pages {
    Pages::default().get("/help", show).get("/help/{guide}", show_guide)
}

/// Returns the name and the title of each guide.
pub(super) fn list_guides() -> impl Iterator<Item = (&'static str, &'static str)> {
    GUIDES.iter().map(|(name, title, _)| (*name, *title))
}

#[derive(Template)]
#[template(path = "help.html")]
struct Help {
    shell: Shell,
    public_url: String,
}

async fn show(State(app): State<Arc<App>>, context: PageContext) -> Response {
    let shell = Shell::new(Some(&context), "Help", "");
    page::render(StatusCode::OK, &Help { shell, public_url: app.settings().public_url.clone() })
}

#[derive(Template)]
#[template(path = "guide.html")]
struct Guide {
    shell: Shell,
    html: String,
}

async fn show_guide(context: PageContext, ids: Ids) -> Result<Response, PageError> {
    let found = GUIDES.iter().find(|(name, ..)| *name == ids.text("guide"));
    let &(_, title, text) = found.ok_or(AppError::not_found())?;
    let shell = Shell::new(Some(&context), title, "");
    Ok(page::render(StatusCode::OK, &Guide { shell, html: to_html(text) }))
}

/// Converts a guide to a page. Comments and images are removed, and only links to other guides are kept.
fn to_html(text: &str) -> String {
    let mut follows = Vec::new();
    let mut in_picture = false;
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Html(_) | Event::InlineHtml(_) => None,
        Event::Start(Tag::Image { .. }) => {
            in_picture = true;
            None
        }
        Event::End(TagEnd::Image) => {
            in_picture = false;
            None
        }
        _ if in_picture => None,
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let guide = GUIDES.iter().find(|(name, ..)| dest_url.strip_suffix(".md") == Some(*name));
            follows.push(guide.is_some());
            guide.map(|(name, ..)| {
                Event::Start(Tag::Link { link_type, dest_url: format!("/help/{name}").into(), title, id })
            })
        }
        Event::End(TagEnd::Link) => follows.pop().unwrap_or(false).then_some(Event::End(TagEnd::Link)),
        event => Some(event),
    });
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events);
    // An empty header cell is converted to a normal cell.
    html.replace("<th></th>", "<td></td>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guide_is_a_page_without_comments_and_images() {
        let html = to_html(
            "# A\n\n<!-- run: x -->\n\n[b](sdk.md), [c](../README.md), ![d](e.png)\n\n```console\n$ <f>\n```\n",
        );
        assert!(html.contains("<h1>A</h1>") && html.contains("<a href=\"/help/sdk\">b</a>, c, "), "{html}");
        assert!(html.contains("$ &lt;f&gt;") && !html.contains("run") && !html.contains("img"), "{html}");
    }

    #[test]
    fn every_guide_has_one_heading_and_words() {
        for (name, _, text) in GUIDES {
            let html = to_html(text);
            assert_eq!(html.matches("<h1>").count(), 1, "{name}");
            assert!(!html.contains("<!--"), "{name}");
        }
    }
}
