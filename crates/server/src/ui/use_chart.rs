//! The card with the use of keys over time: numbers, a chart that is drawn on the server, and the same as a table. A
//! page shows the card with `{{ chart|safe }}`.

use std::fmt::Write as _;

use askama::Template;
use domain::{
    Timestamp,
    key_use::{UseSpan, UseWindow},
};
use serde::Deserialize;

use super::list::columns;

/// The height of the chart's bars in pixels.
const HEIGHT: u64 = 160;
/// The share of a bar's place that it fills, and the space before it, in hundredths.
const BAR_WIDTH: f64 = 61.0;
const BAR_SPACE: f64 = 19.5;

/// The period in the query of a page. Another text is the default.
#[derive(Deserialize)]
pub(super) struct UseQuery {
    #[serde(default)]
    window: String,
}

impl UseQuery {
    pub(super) fn window(&self) -> UseWindow {
        self.window.parse().unwrap_or_default()
    }
}

/// The place and heights of one bar.
struct Bar {
    title: String,
    place_x: String,
    place_width: String,
    x: String,
    width: String,
    accepted: u64,
    refused: u64,
}

impl Bar {
    /// Returns the top of the part for accepted requests.
    fn accepted_top(&self) -> u64 {
        HEIGHT - self.accepted
    }

    /// Returns the top of the part for refused requests, which is above the other one.
    fn refused_top(&self) -> u64 {
        self.accepted_top() - self.refused - u64::from(self.accepted > 0)
    }
}

/// When a bar starts. A day starts at midnight in UTC, which no other time zone has to know.
struct SpanStart {
    words: String,
    /// The time of an hour, for the script that adds the local time.
    machine: Option<String>,
}

impl SpanStart {
    fn new(window: UseWindow, starts_at: Timestamp, words: String) -> Self {
        let machine = match window.span() {
            UseSpan::Hour => Some(starts_at.strftime("%Y-%m-%dT%H:%MZ").to_string()),
            UseSpan::Day => None,
        };
        Self { words, machine }
    }
}

/// A row of the table.
struct Row {
    starts_at: SpanStart,
    accepted: String,
    refused: String,
    reasons: String,
}

columns! {
    /// The table with the numbers of the chart.
    UseColumn {
        From: "From (UTC)",
        Accepted: "Accepted",
        Refused: "Refused",
        Reasons: "Why refused",
    }
}

/// The card.
#[derive(Template)]
#[template(path = "use_chart.html")]
pub(super) struct UseChart {
    /// The path of the page.
    path: String,
    window: UseWindow,
    /// The periods to choose from: the value in the address, the words, and whether it is shown.
    periods: [(&'static str, &'static str, bool); UseWindow::ALL.len()],
    accepted: String,
    refused: String,
    reasons: String,
    /// How many keys were used, and how many there are.
    keys: Option<(u64, u64)>,
    bars: Vec<Bar>,
    /// The values of the lines: the top, and half of it.
    top: String,
    half: String,
    labels: Vec<SpanStart>,
    rows: Vec<Row>,
}

impl UseChart {
    /// Draws the requests in a window, for the page at `path`.
    pub(super) fn new(path: String, window: UseWindow, total: &api::UseCounts, spans: &[api::UseOfSpan]) -> Self {
        let most = spans.iter().map(|span| span.counts.accepted + span.counts.refused).max().unwrap_or_default();
        let top = round_up(most);
        let place = |number: f64| format!("{number:.3}%");
        #[expect(clippy::cast_precision_loss, reason = "there are at most 90 bars")]
        let bar = |(at, span): (usize, &api::UseOfSpan)| {
            let (slot, at) = (100.0 / spans.len() as f64, at as f64);
            let (accepted, refused) = heights(span.counts.accepted, span.counts.refused, top);
            Bar {
                title: format!(
                    "{}: {} accepted, {} refused",
                    name_span(window, span.starts_at),
                    group_digits(span.counts.accepted),
                    group_digits(span.counts.refused)
                ),
                place_x: place(at * slot),
                place_width: place(slot),
                x: place((at + BAR_SPACE / 100.0) * slot),
                width: place(slot * BAR_WIDTH / 100.0),
                accepted,
                refused,
            }
        };
        let is_shown = |span: &&api::UseOfSpan| span.counts.accepted > 0 || span.counts.refused > 0;
        let row = |span: &api::UseOfSpan| Row {
            starts_at: SpanStart::new(window, span.starts_at, name_span(window, span.starts_at)),
            accepted: group_digits(span.counts.accepted),
            refused: group_digits(span.counts.refused),
            reasons: describe_refusals(&span.counts),
        };
        Self {
            path,
            window,
            periods: UseWindow::ALL.map(|other| (other.as_str(), period_words(other), other == window)),
            accepted: group_digits(total.accepted),
            refused: group_digits(total.refused),
            reasons: describe_refusals(total),
            keys: None,
            bars: spans.iter().enumerate().map(bar).collect(),
            top: group_digits(top),
            half: group_digits(top / 2),
            labels: labels(window, spans),
            rows: spans.iter().rev().filter(is_shown).map(row).collect(),
        }
    }

    /// Draws the use of a key, for its page at `path`.
    pub(super) fn of_key(path: String, used: &api::KeyUse) -> Self {
        Self::new(path, used.window, &used.total, &used.spans)
    }

    /// Draws the use of several keys of `live` ones, for the page at `path`.
    pub(super) fn of_keys(path: String, used: &api::UseOfKeys, live: u64) -> Self {
        let keys = Some((used.keys_in_use, live.max(used.keys_in_use)));
        Self { keys, ..Self::new(path, used.window, &used.total, &used.spans) }
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the period in words.
    fn period(&self) -> &'static str {
        period_words(self.window)
    }

    /// Returns the unit of the bars.
    fn unit(&self) -> &'static str {
        match self.window.span() {
            UseSpan::Hour => "hour",
            UseSpan::Day => "day",
        }
    }
}

pub(super) const fn period_words(window: UseWindow) -> &'static str {
    match window {
        UseWindow::Day => "24 hours",
        UseWindow::Week => "7 days",
        UseWindow::Quarter => "90 days",
    }
}

/// Returns a reason for refusals, for people.
pub(super) fn reason_words(reason: &str) -> &str {
    match reason {
        "bad_signature" => "wrong signature",
        "key_revoked" => "revoked key",
        "key_expired" => "expired key",
        "key_disabled" => "disabled key",
        "owner_disabled" => "owner disabled or in no workspace",
        "wrong_time" => "signed too early or too late",
        "replayed" => "nonce used before",
        "host_not_listed" => "host not listed",
        "invalid" => "invalid signature or body",
        "forbidden" => "not allowed by a route",
        "rate_limited" => "too many requests",
        other => other,
    }
}

/// Returns how requests that were refused for a reason are called after their number.
fn refused_words(reason: &str) -> &str {
    match reason {
        "bad_signature" => "with a wrong signature",
        "key_revoked" => "with a revoked key",
        "key_expired" => "with an expired key",
        "key_disabled" => "with a disabled key",
        "owner_disabled" => "of an owner disabled or in no workspace",
        "replayed" => "with a nonce used before",
        "host_not_listed" => "for a host that is not listed",
        "invalid" => "with an invalid signature or body",
        "rate_limited" => "above the rate limit",
        other => reason_words(other),
    }
}

fn describe_refusals(counts: &api::UseCounts) -> String {
    let mut refusals: Vec<&api::RefusalCount> = counts.refusals.iter().collect();
    refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.count));
    let described = refusals.iter().map(|r| format!("{} {}", group_digits(r.count), refused_words(&r.reason)));
    described.collect::<Vec<_>>().join(", ")
}

fn name_span(window: UseWindow, starts_at: Timestamp) -> String {
    match window.span() {
        UseSpan::Hour => starts_at.strftime("%-d %b, %H:%M").to_string(),
        UseSpan::Day => starts_at.strftime("%-d %b").to_string(),
    }
}

/// Returns the labels below the chart, at the starts of equal parts. The last part also has the label of the end.
fn labels(window: UseWindow, spans: &[api::UseOfSpan]) -> Vec<SpanStart> {
    let (parts, format) = match window {
        UseWindow::Day => (4, "%H:%M"),
        UseWindow::Week => (7, "%a %-d"),
        UseWindow::Quarter => (5, "%-d %b"),
    };
    let first_of = |part: usize| spans.get(part * spans.len() / parts);
    let label =
        |span: &api::UseOfSpan| SpanStart::new(window, span.starts_at, span.starts_at.strftime(format).to_string());
    (0..parts).filter_map(first_of).map(label).collect()
}

/// Returns the heights of a bar's two parts in pixels. A number above 0 is always visible.
fn heights(accepted: u64, refused: u64, top: u64) -> (u64, u64) {
    // One pixel is between the parts.
    let height = |count: u64| if count == 0 { 0 } else { (count * (HEIGHT - 1) / top.max(1)).max(2) };
    let (accepted, refused) = (height(accepted), height(refused));
    // Rounding up a small part must not exceed the chart.
    let over = (accepted + refused + 1).saturating_sub(HEIGHT);
    if accepted > refused { (accepted - over, refused) } else { (accepted, refused - over) }
}

/// Returns the value of the top line: a round even number that is at least `most`.
fn round_up(most: u64) -> u64 {
    let mut power = 1;
    loop {
        let steps = [10, 12, 16, 20, 24, 30, 40, 50, 60, 80].into_iter().map(|step: u64| step * power);
        let is_even = |step: &u64| step.is_multiple_of(20);
        if let Some(step) = steps.filter(is_even).find(|step| *step >= most.saturating_mul(10)) {
            return step / 10;
        }
        match power.checked_mul(10) {
            Some(next) if next < u64::MAX / 80 => power = next,
            _ => return most,
        }
    }
}

/// Returns a number with commas between its thousands.
pub(super) fn group_digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a text does not fail.
        let _ = text.write_char(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::key_use::RefusalReason;

    use super::*;

    #[test]
    fn refusals_are_counted_with_their_reasons() {
        let count = |reason: &str, count| api::RefusalCount { reason: reason.to_owned(), count };
        let refusals = vec![count("owner_disabled", 1), count("key_disabled", 6), count("key_revoked", 2)];
        let counts = api::UseCounts { accepted: 0, refused: 9, refusals };
        assert_eq!(
            describe_refusals(&counts),
            "6 with a disabled key, 2 with a revoked key, 1 of an owner disabled or in no workspace"
        );
    }

    #[test]
    fn the_top_line_is_round_and_above_every_bar() {
        for (most, top) in
            [(0, 2), (1, 2), (2, 2), (3, 4), (9, 10), (11, 12), (99, 100), (101, 120), (2185, 2400), (81_000, 100_000)]
        {
            assert_eq!(round_up(most), top, "{most}");
        }
        assert!(round_up(u64::MAX) >= u64::MAX / 100);
    }

    #[test]
    fn a_bar_fits_and_shows_every_number() {
        for top in [2, 10, 2400] {
            for accepted in 0..=top {
                let (ok, no) = heights(accepted, top - accepted, top);
                assert!(ok + no < HEIGHT, "{accepted} of {top}: {ok} {no}");
                assert_eq!((ok > 0, no > 0), (accepted > 0, top > accepted));
            }
        }
    }

    #[test]
    fn every_reason_has_words() {
        for reason in RefusalReason::ALL {
            assert!(!reason_words(reason.as_str()).contains('_'), "{reason:?}");
        }
        assert_eq!([0, 999, 1000, 1_234_567].map(group_digits), ["0", "999", "1,000", "1,234,567"]);
    }
}
