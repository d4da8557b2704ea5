//! Help: the answers to frequent questions, and the guides from `docs/`, for the user who reads them: with the URL of this
//! installation, their workspace and their email address, and without what is only in the repository.

use std::{fmt::Write as _, sync::Arc};

use askama::Template;
use axum::{extract::State, response::Response};
use http::StatusCode;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

use super::{
    extract::Ids,
    page::{self, PageError, Shell},
    page_context::PageContext,
    routes::Pages,
};
use crate::{
    App, AppError,
    app::{KeyOwner, KeySearch},
};

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
    reader: Reader,
}

/// What a guide says instead of its examples.
#[derive(Clone, Debug, Default)]
struct Reader {
    /// The URL of this installation.
    public_url: String,
    /// The domain of service account addresses.
    account_domain: String,
    /// The name and the slug of the workspace that the reader comes from, or of their first one.
    workspace: Option<(String, String)>,
    email: Option<String>,
    /// The title and the fingerprint of the newest active key of the reader.
    key: Option<(String, String)>,
}

impl Reader {
    async fn find(app: &App, context: &PageContext, shell: &Shell) -> Result<Self, AppError> {
        let came_from = page::came_from(context).and_then(|path| path.strip_prefix("/w/")?.split(['/', '?']).next());
        let is_present = |place: &&page::Place| Some(place.slug.as_str()) == came_from;
        let place = shell.places.iter().find(is_present).or_else(|| shell.places.first());
        let key = match &context.session {
            Some(session) => {
                let search = KeySearch { search: newest_active(), ..KeySearch::default() };
                let found = app.search_api_keys(&session.caller, KeyOwner::Own, &search).await?;
                found.page.items.into_iter().next().map(|key| (key.title, key.fingerprint))
            }
            None => None,
        };
        Ok(Self {
            public_url: app.settings().public_url.clone(),
            account_domain: app.settings().service_account_domain.clone(),
            workspace: place.map(|place| (place.name.clone(), place.slug.clone())),
            email: shell.account.as_ref().map(|account| account.email.clone()),
            key,
        })
    }

    /// Replaces the examples in a text of a guide.
    fn fill_in(&self, text: &str) -> String {
        let slug = self.workspace.as_ref().map_or("WORKSPACE", |(_, slug)| slug);
        let email = self.email.as_deref().unwrap_or("EMAIL");
        let host = self.public_url.split_once("://").map_or(self.public_url.as_str(), |(_, host)| host);
        text.replace("http://127.0.0.1:8080", &self.public_url)
            .replace("127.0.0.1:8080", host)
            .replace("@demo.sa.keyward.local", &format!("@{slug}.{}", self.account_domain))
            .replace("@WORKSPACE.sa.keyward.local", &format!("@{slug}.{}", self.account_domain))
            .replace("admin@demo.example", email)
            .replace("ann@example.com", email)
    }
}

fn newest_active() -> domain::list::Search<domain::list::KeyOrder, domain::list::KeyFilter> {
    domain::list::Search { filter: domain::list::KeyFilter::Active, descending: true, ..Default::default() }
}

async fn show_guide(State(app): State<Arc<App>>, context: PageContext, ids: Ids) -> Result<Response, PageError> {
    let found = GUIDES.iter().find(|(name, ..)| *name == ids.text("guide"));
    let &(_, title, text) = found.ok_or(AppError::not_found())?;
    let shell = Shell::new(Some(&context), title, "");
    let reader = Reader::find(&app, &context, &shell).await?;
    Ok(page::render(StatusCode::OK, &Guide { html: to_html(text, &reader), shell, reader }))
}

/// Around what a guide says only in the repository.
const IN_REPOSITORY: (&str, &str) = ("<!-- in the repository -->", "<!-- /in the repository -->");
/// Around what a guide says only on a page.
const ON_PAGE: (&str, &str) = ("<!-- on a page: ", " -->");

/// Replaces each part of a text between two marks.
fn replace_parts(text: &str, (begin, end): (&str, &str), new: impl Fn(&str) -> String) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let (part, after) = after.split_once(end).unwrap_or((after, ""));
        replaced.push_str(before);
        replaced.push_str(&new(part));
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

/// Returns the id of a heading, as in the links between the guides: lower case, with hyphens between words.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the path of a link in a guide, unless it leads to a file of the repository.
fn path_of_link(link: &str) -> Option<String> {
    if link.starts_with(['#', '/']) {
        return Some(link.to_owned());
    }
    let (file, part) = link.split_at(link.find('#').unwrap_or(link.len()));
    let (name, ..) = GUIDES.iter().find(|(name, ..)| file.strip_suffix(".md") == Some(*name))?;
    Some(format!("/help/{name}{part}"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns a block of code with buttons that copy it: the commands without their prompts, and their output below.
fn code_block(info: &str, code: &str, number: &mut usize) -> String {
    let mut html = String::new();
    let mut words = info.split_whitespace();
    let is_console = words.next() == Some("console");
    if let Some(file) = words.find_map(|word| word.strip_prefix("file=")) {
        _ = write!(html, "<p>The file <code>{}</code>:</p>", escape(file));
    }
    let mut push = |code: &str, is_output: bool| {
        let code = escape(code.trim_end());
        if code.is_empty() || is_output && code == "\u{2026}" {
            return;
        }
        if is_output {
            _ = write!(html, "<pre class=\"output\">{code}</pre>");
            return;
        }
        *number += 1;
        _ = write!(
            html,
            "<div class=\"copyable block\"><pre id=\"code-{number}\">{code}</pre><button class=\"copy with-script\" \
             type=\"button\" data-copy=\"code-{number}\" title=\"Copy\"><span>Copy code {number}</span></button></div>"
        );
    };
    if !is_console {
        push(code, false);
        return html;
    }
    let (mut commands, mut output) = (String::new(), String::new());
    for line in code.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            if !output.is_empty() {
                push(&std::mem::take(&mut commands), false);
                push(&std::mem::take(&mut output), true);
            }
            commands.push_str(command);
            commands.push('\n');
        } else if commands.ends_with("\\\n") {
            commands.push_str(line);
            commands.push('\n');
        } else {
            output.push_str(line);
            output.push('\n');
        }
    }
    push(&commands, false);
    push(&output, true);
    html
}

/// Converts a guide to a page for a reader. Comments, images and links to files of the repository are removed.
fn to_html(text: &str, reader: &Reader) -> String {
    let text = replace_parts(text, IN_REPOSITORY, |_| String::new());
    let text = replace_parts(&text, ON_PAGE, str::to_owned);
    let events: Vec<Event<'_>> = Parser::new_ext(&text, Options::ENABLE_TABLES).collect();
    let mut shown = Vec::new();
    let (mut follows, mut in_picture, mut blocks) = (Vec::new(), false, 0);
    let mut block: Option<(CowStr<'_>, String)> = None;
    let mut heading: Option<(usize, String)> = None;
    for event in events {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let info = if let CodeBlockKind::Fenced(info) = kind { info } else { "".into() };
                block = Some((info, String::new()));
            }
            Event::Text(text) if block.is_some() => {
                if let Some((_, code)) = &mut block {
                    code.push_str(&reader.fill_in(&text));
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                shown
                    .extend(block.take().map(|(info, code)| Event::Html(code_block(&info, &code, &mut blocks).into())));
            }
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::Start(Tag::Image { .. }) => in_picture = true,
            Event::End(TagEnd::Image) => in_picture = false,
            _ if in_picture => {}
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let path = path_of_link(&dest_url);
                follows.push(path.is_some());
                shown.extend(path.map(|path| Event::Start(Tag::Link { link_type, dest_url: path.into(), title, id })));
            }
            Event::End(TagEnd::Link) => {
                shown.extend(follows.pop().unwrap_or(false).then_some(Event::End(TagEnd::Link)));
            }
            Event::Start(start @ Tag::Heading { .. }) => {
                heading = Some((shown.len(), String::new()));
                shown.push(Event::Start(start));
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some((at, words)) = heading.take()
                    && let Some(Event::Start(Tag::Heading { id, .. })) = shown.get_mut(at)
                {
                    *id = Some(anchor(&words).into());
                }
                shown.push(Event::End(TagEnd::Heading(level)));
            }
            event => {
                if let (Some((_, words)), Event::Text(text) | Event::Code(text)) = (&mut heading, &event) {
                    words.push_str(text);
                }
                shown.push(match event {
                    Event::Text(text) => Event::Text(reader.fill_in(&text).into()),
                    Event::Code(text) => Event::Code(reader.fill_in(&text).into()),
                    event => event,
                });
            }
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, shown.into_iter());
    // An empty header cell is converted to a normal cell.
    html.replace("<th></th>", "<td></td>")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn ada() -> Reader {
        Reader {
            public_url: "https://keys.acme.test:8443".to_owned(),
            account_domain: "robots.acme.test".to_owned(),
            workspace: Some(("Acme Robotics".to_owned(), "acme".to_owned())),
            email: Some("ada@acme.test".to_owned()),
            key: None,
        }
    }

    #[test]
    fn a_guide_is_a_page_without_comments_and_images() {
        let html = to_html(
            "# A\n\n<!-- run: x -->\n\n[b](sdk.md), [c](../README.md), ![d](e.png)\n\n```console\n$ <f>\n…\n```\n",
            &ada(),
        );
        assert!(html.contains("<h1 id=\"a\">A</h1>") && html.contains("<a href=\"/help/sdk\">b</a>, c, "), "{html}");
        assert!(html.contains(">&lt;f&gt;</pre>") && !html.contains("run") && !html.contains("img"), "{html}");
        assert!(!html.contains("output"), "{html}");
    }

    #[test]
    fn a_part_is_in_the_repository_or_on_a_page() {
        let text = "a<!-- in the repository -->, b<!-- /in the repository --> c.\n<!-- on a page: Also\n[d](#d). -->\n";
        assert_eq!(to_html(text, &ada()), "<p>a c.\nAlso\n<a href=\"#d\">d</a>.</p>\n");
    }

    #[test]
    fn commands_are_copied_without_prompts_and_output() {
        let html = to_html("```console\n$ one 127.0.0.1:8080\n$ two \\\n  three\nsaid…\n$ four\n```\n", &ada());
        let commands: Vec<_> =
            html.split("<pre id=").skip(1).filter_map(|rest| rest.split_once('>')?.1.split("</pre>").next()).collect();
        assert_eq!(commands, ["one keys.acme.test:8443\ntwo \\\n  three", "four"]);
        assert!(html.contains("<pre class=\"output\">said…</pre>"), "{html}");
    }

    #[test]
    fn every_guide_is_written_for_its_reader() {
        for reader in [ada(), Reader { workspace: None, email: None, ..ada() }] {
            for (name, _, text) in GUIDES {
                let html = to_html(text, &reader);
                assert_eq!(html.matches("<h1 ").count(), 1, "{name}");
                assert!(html.contains(&reader.public_url), "{name}");
                for example in [
                    "<!--",
                    "$ ",
                    "127.0.0.1",
                    "localhost",
                    "example.com",
                    "demo",
                    "keyward.local",
                    ".md",
                    "../",
                    "scripts/",
                    "clients/",
                    "docs/",
                    "make clients",
                ] {
                    let at = html.find(example);
                    let shown = at.map(|at| html[at..].chars().take(60).collect::<String>());
                    assert_eq!(shown, None, "{name} has {example:?}");
                }
            }
        }
    }

    #[test]
    fn every_link_of_a_guide_leads_to_a_page_and_a_heading() {
        let pages: BTreeMap<String, String> =
            GUIDES.iter().map(|(name, _, text)| (format!("/help/{name}"), to_html(text, &ada()))).collect();
        let is_page = |path: &str| {
            let path = path.split('?').next().unwrap_or_default();
            crate::ui::list_page_routes().iter().any(|(_, route)| route == path)
                || path == "/api/v1/openapi.json"
                || pages.contains_key(path)
        };
        let mut links = 0;
        for (page, html) in &pages {
            for link in html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let (path, part) = link.split_once('#').unwrap_or((link, ""));
                let path = if path.is_empty() { page } else { path };
                assert!(is_page(path), "{page}: {link}");
                let has_heading = pages.get(path).is_some_and(|html| html.contains(&format!(" id=\"{part}\"")));
                assert!(part.is_empty() || has_heading, "{page}: {link}");
                links += 1;
            }
        }
        assert!(links > 6, "{links}");
        // A link to a file of the repository would be a text that leads nowhere.
        for (name, _, text) in GUIDES {
            let text = replace_parts(text, IN_REPOSITORY, |_| String::new());
            let links = Parser::new_ext(&text, Options::ENABLE_TABLES).filter_map(|event| match event {
                Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.into_string()),
                _ => None,
            });
            let dead: Vec<_> = links.filter(|link| path_of_link(link).is_none()).collect();
            assert!(dead.is_empty(), "{name}: {dead:?}");
        }
    }
}
