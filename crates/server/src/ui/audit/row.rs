//! The rows of activity: an event with its sentence, refused requests of one kind together, and all values of one event.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ApiKeyId, AuditAction, AuditEvent, AuditPrincipal, Timestamp};
use store::audit::LoggedEvent;

use super::{
    filter::ActivityQuery,
    sentence::{Part, Reader, Severity, label, refusal_reason, show_value},
};
use crate::{
    app::{Activity, CAUSE, CAUSE_TARGET, ID_FIELDS},
    ui::page::{Shell, When},
};

/// The number of times that a row of refused requests lists.
const MAX_TIMES: usize = 10;
const DAY_SECONDS: i64 = 24 * 3600;

/// The events of a day.
pub(super) struct Day {
    /// Such as `Today`.
    pub(super) name: String,
    pub(super) date: String,
    pub(super) rows: Vec<Row>,
}

/// An event, or refused requests of one kind.
pub(in crate::ui) struct Row {
    pub(in crate::ui) severity: Severity,
    pub(in crate::ui) parts: Vec<Part>,
    /// The second line.
    pub(in crate::ui) meta: String,
    /// The time of day.
    pub(in crate::ui) clock: String,
    pub(in crate::ui) when: When,
    /// The query that shows all values. Empty if the reader cannot open them.
    pub(in crate::ui) details: String,
    /// Whether all its values are shown.
    pub(in crate::ui) is_selected: bool,
    /// The times and numbers of refused requests, if there are several.
    pub(in crate::ui) times: Vec<(String, u64)>,
    /// The number of times that are not listed.
    pub(in crate::ui) more_times: usize,
}

/// What refused requests have in common that share a row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RefusalGroup {
    day: i64,
    source: String,
    code: String,
    key: Option<ApiKeyId>,
    target: Option<String>,
    verified: bool,
}

fn day_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(DAY_SECONDS)
}

impl RefusalGroup {
    /// Returns the group of an event of refused requests.
    fn of(event: &AuditEvent) -> Option<Self> {
        if event.action != AuditAction::RequestRefuse.as_str() {
            return None;
        }
        let detail = |name: &str| event.detail.get(name).cloned();
        let address = || event.ip_address.map(|ip_address| ip_address.to_string());
        Some(Self {
            day: day_of(event.at),
            source: detail("addresses").or_else(address).unwrap_or_default(),
            code: detail("code").unwrap_or_default(),
            key: event.key,
            target: event.target.clone(),
            verified: detail("verified").as_deref() == Some("true"),
        })
    }

    fn parts(&self, reader: Reader<'_>, count: u64) -> Vec<Part> {
        let mut parts =
            vec![Part::Name(if count == 1 { "1 request".into() } else { format!("{count} requests") }, None)];
        let owner = self.target.as_deref().map(|id| reader.object(id, None));
        if let (true, Some(owner)) = (self.verified, owner) {
            parts.extend([Part::Text(" by ".into()), owner]);
        }
        if let Some(key) = self.key {
            // Any client can name any key.
            let words = if self.verified { " with the key " } else { " that named the key " };
            parts.extend([Part::Text(words.into()), reader.object(&key.to_string(), None)]);
        }
        let verb = if count == 1 { " was refused" } else { " were refused" };
        parts.push(Part::Text(verb.into()));
        if !self.source.is_empty() {
            let source = self.source.strip_prefix("several of ").unwrap_or(&self.source).to_owned();
            parts.extend([Part::Text(" from ".into()), Part::Name(source, None)]);
        }
        parts
    }
}

/// Returns when an event happened: the first and the last of several requests, which are recorded afterwards.
fn times_of(event: &AuditEvent) -> (Timestamp, Timestamp) {
    let time = |name: &str| event.detail.get(name).and_then(|time| time.parse().ok());
    let last = time("last_at").unwrap_or(event.at);
    (time("first_at").unwrap_or(last), last)
}

fn count_of(event: &AuditEvent) -> u64 {
    event.detail.get("count").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Keeps the events of at most `rows` rows, from the end where the reader comes from.
pub(super) fn cut(activity: &mut Activity, rows: usize, is_newer_page: bool) {
    let mut groups = BTreeSet::new();
    let mut count = 0;
    let mut fits = |logged: &LoggedEvent| {
        count += match RefusalGroup::of(&logged.event) {
            Some(group) => usize::from(groups.insert(group)),
            None => 1,
        };
        count <= rows
    };
    if is_newer_page {
        let kept = activity.events.iter().rev().take_while(|logged| fits(logged)).count();
        let surplus = activity.events.len() - kept;
        activity.has_newer |= surplus > 0;
        activity.events.drain(..surplus);
    } else {
        let kept = activity.events.iter().take_while(|logged| fits(logged)).count();
        activity.has_older |= kept < activity.events.len();
        activity.events.truncate(kept);
    }
}

/// Returns where an event came from, for the second line.
fn origin(reader: Reader<'_>, event: &AuditEvent) -> String {
    let with = match (event.key, event.principal) {
        (Some(key), _) => match reader.object(&key.to_string(), None) {
            Part::Name(title, _) => format!("With the key {title}"),
            Part::Text(_) => "With a key".to_owned(),
        },
        (None, AuditPrincipal::Host) => "On the host".to_owned(),
        (None, AuditPrincipal::User(_)) => "In the console".to_owned(),
        (None, AuditPrincipal::ServiceAccount(_) | AuditPrincipal::Anonymous) => String::new(),
    };
    match event.ip_address {
        Some(address) if with.is_empty() => format!("From {address}"),
        Some(address) => format!("{with}, from {address}"),
        None => with,
    }
}

/// Returns the rows of a list of events.
pub(in crate::ui) fn rows(
    reader: Reader<'_>,
    shell: &Shell,
    events: &[LoggedEvent],
    details: impl Fn(&AuditEvent) -> (String, bool),
) -> Vec<(i64, Row)> {
    let mut rows: Vec<(i64, Row)> = Vec::new();
    let mut refusals: BTreeMap<RefusalGroup, (usize, u64)> = BTreeMap::new();
    for LoggedEvent { event, .. } in events {
        let (_, at) = times_of(event);
        let clock = at.strftime("%H:%M").to_string();
        let (query, is_selected) = details(event);
        if let Some(group) = RefusalGroup::of(event) {
            let count = count_of(event);
            if let Some((at, total)) = refusals.get_mut(&group)
                && let Some((_, row)) = rows.get_mut(*at)
            {
                *total += count;
                row.parts = group.parts(reader, *total);
                row.is_selected |= is_selected;
                if row.times.len() < MAX_TIMES {
                    row.times.push((clock, count));
                } else {
                    row.more_times += 1;
                }
                continue;
            }
            refusals.insert(group.clone(), (rows.len(), count));
            let reason = match group.code.as_str() {
                "several" => event.detail.get("codes").map(|codes| format!("Different reasons: {codes}")),
                code => refusal_reason(code).map(str::to_owned),
            };
            let meta = reason.or_else(|| event.detail.get("reason").cloned()).unwrap_or_default();
            let row = Row {
                severity: Severity::Refused,
                parts: group.parts(reader, count),
                meta,
                times: vec![(clock.clone(), count)],
                more_times: 0,
                clock,
                when: shell.when(&at),
                details: query,
                is_selected,
            };
            rows.push((group.day, row));
            continue;
        }
        let sentence = reader.tell(event);
        let lines = [sentence.note.unwrap_or_default(), origin(reader, event)];
        let row = Row {
            severity: sentence.severity,
            parts: sentence.parts,
            meta: lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join(". "),
            clock,
            when: shell.when(&at),
            details: query,
            is_selected,
            times: Vec::new(),
            more_times: 0,
        };
        rows.push((day_of(event.at), row));
    }
    rows
}

/// Removes the links of a row, for a reader who may not open them.
pub(super) fn without_links(row: &mut Row) {
    row.details.clear();
    unlink(&mut row.parts);
}

/// Removes the links of a sentence, for a reader who may not open them.
pub(super) fn unlink(parts: &mut [Part]) {
    for part in parts {
        if let Part::Name(_, path) = part {
            *path = None;
        }
    }
}

/// Returns the day of a row, without the year.
pub(super) fn day_words(number: i64) -> String {
    start_of_day(number).strftime("%-d %b").to_string()
}

fn start_of_day(number: i64) -> Timestamp {
    Timestamp::from_second(number * DAY_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns the rows of a page by day.
pub(super) fn days(reader: Reader<'_>, shell: &Shell, query: &ActivityQuery, events: &[LoggedEvent]) -> Vec<Day> {
    let today = day_of(shell.now());
    let details = |event: &AuditEvent| {
        let id = event.id.to_string();
        let is_selected = query.event == id;
        (query.with_event(&id).link(), is_selected)
    };
    let mut days: Vec<(i64, Day)> = Vec::new();
    for (number, row) in rows(reader, shell, events, details) {
        if let Some((_, day)) = days.last_mut().filter(|(last, _)| *last == number) {
            day.rows.push(row);
            continue;
        }
        let date = start_of_day(number);
        let name = match today - number {
            0 => "Today".to_owned(),
            1 => "Yesterday".to_owned(),
            _ => date.strftime("%A").to_string(),
        };
        days.push((number, Day { name, date: date.strftime("%-d %B %Y").to_string(), rows: vec![row] }));
    }
    days.into_iter().map(|(_, day)| day).collect()
}

/// A value before and after a change.
pub(super) struct Difference {
    pub(super) label: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// All values of an event.
pub(super) struct EventDetail {
    pub(super) id: String,
    pub(super) title: &'static str,
    pub(super) parts: Vec<Part>,
    pub(super) differences: Vec<Difference>,
    /// Labels and values.
    pub(super) facts: Vec<(String, Vec<Part>)>,
    pub(super) when: When,
    /// The time to the second, or the times of the first and the last request.
    pub(super) at: String,
    /// The number of the entry in the log, from 1, with separators.
    pub(super) entry: String,
}

/// A time to the second.
const EXACT: &str = "%-d %b %Y, %H:%M:%S UTC";

/// Returns a time, or two, to the second.
fn period(first: Timestamp, last: Timestamp) -> String {
    if first.as_second() == last.as_second() {
        return last.strftime(EXACT).to_string();
    }
    let format = if day_of(first) == day_of(last) { "%-d %b %Y, %H:%M:%S" } else { EXACT };
    let end = if day_of(first) == day_of(last) { "%H:%M:%S UTC" } else { EXACT };
    format!("{} to {}", first.strftime(format), last.strftime(end))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, rest) = digits.split_at(first);
    let groups = rest.as_bytes().chunks(3).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
    [head.to_owned()].into_iter().filter(|head| !head.is_empty()).chain(groups).collect::<Vec<_>>().join(",")
}

fn words(text: impl Into<String>) -> Part {
    Part::Text(text.into().into())
}

/// Returns all values of an event.
pub(super) fn detail(reader: Reader<'_>, shell: &Shell, logged: &LoggedEvent) -> EventDetail {
    let event = &logged.event;
    let sentence = reader.tell(event);
    let mut differences = Vec::new();
    let mut others = Vec::new();
    for (name, value) in &event.detail {
        if let Some(before) = event.detail.get(&format!("{name}_before")) {
            let show = |value: &str| match name.as_str() {
                "limits" if !value.is_empty() => reader.show_limits(value),
                name => show_value(name, value),
            };
            let (before, after) = (show(before), show(value));
            differences.push(Difference { label: label(name), before, after });
            continue;
        }
        let is_before = name.strip_suffix("_before").is_some_and(|name| event.detail.contains_key(name));
        // The statement and the root are for programs. The target names the object already. The cause
        // is told below, and the reason may only repeat the code.
        let repeats_code = |reason: &str| event.detail.get("code").is_some_and(|code| code.replace('_', " ") == reason);
        if is_before
            || matches!(
                name.as_str(),
                "statement" | "root" | "codes" | "kinds" | "first_at" | "last_at" | CAUSE | CAUSE_TARGET
            )
            || name == "reason" && repeats_code(value)
        {
            continue;
        }
        let value = match name.as_str() {
            name if ID_FIELDS.contains(&name) => reader.object(value, None),
            "code" => match refusal_reason(value) {
                Some(reason) => words(reason),
                None => words(value.clone()),
            },
            "reason" => words(value.clone()),
            "limits" if !value.is_empty() => words(reader.show_limits(value)),
            _ => words(show_value(name, value)),
        };
        let name = match name.as_str() {
            "count" => "Requests".to_owned(),
            "verified" => "Signature verified".to_owned(),
            "code" => "Reason".to_owned(),
            "reason" if event.detail.contains_key("code") => "Details".to_owned(),
            "addresses" => "Addresses".to_owned(),
            name => label(name),
        };
        others.push((name, vec![value]));
    }
    others.extend(reader.cause(event).map(|cause| (label("reason"), cause)));
    let mut facts: Vec<(String, Vec<Part>)> = Vec::new();
    if let Some(target) = &event.target
        && reader.names.contains_key(target)
    {
        let name = match target.split_once('_').map(|(prefix, _)| prefix) {
            Some("sa") => "Account",
            Some("usr") => "User",
            Some("key") => "Key",
            Some("prj") => "Project",
            _ => "Workspace",
        };
        facts.push((name.to_owned(), vec![reader.object(target, None)]));
    }
    if !matches!(event.principal, AuditPrincipal::Anonymous) {
        let mut by = vec![reader.actor(event.principal)];
        by.extend(reader.address(&event.principal.to_string()).map(|address| words(format!(" ({address})"))));
        facts.push(("By".to_owned(), by));
    }
    let with = match (event.key, event.principal) {
        (Some(key), _) => vec![words("Key "), reader.object(&key.to_string(), None)],
        (None, AuditPrincipal::User(_)) => vec![words("Session in the console")],
        (None, AuditPrincipal::Host) => vec![words("A command on the host, or the server")],
        (None, AuditPrincipal::ServiceAccount(_) | AuditPrincipal::Anonymous) => Vec::new(),
    };
    if !with.is_empty() {
        facts.push(("With".to_owned(), with));
    }
    if let Some(address) = event.ip_address {
        facts.push(("From".to_owned(), vec![words(address.to_string())]));
    }
    facts.extend(others);
    let (first, last) = times_of(event);
    if event.detail.contains_key("last_at") {
        facts.push(("Recorded".to_owned(), vec![words(event.at.strftime(EXACT).to_string())]));
    }
    EventDetail {
        id: event.id.to_string(),
        title: sentence.title,
        parts: sentence.parts,
        differences,
        facts,
        when: shell.when(&last),
        at: period(first, last),
        entry: grouped(logged.seq + 1),
    }
}

#[cfg(test)]
mod tests {
    use domain::AuditEventId;
    use uuid::Uuid;

    use super::*;

    fn logged(seq: u64, action: &'static str, detail: &[(&str, &str)]) -> LoggedEvent {
        let event = AuditEvent {
            id: AuditEventId::from_uuid(Uuid::from_u128(seq.into())),
            at: Timestamp::from_second(1_700_000_000).unwrap(),
            workspace: None,
            principal: AuditPrincipal::Anonymous,
            key: None,
            ip_address: Some("203.0.113.42".parse().unwrap()),
            action: action.into(),
            target: None,
            detail: detail.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        LoggedEvent { seq, event }
    }

    fn refused(seq: u64, code: &str, count: &str) -> LoggedEvent {
        logged(seq, "request.refuse", &[("code", code), ("count", count), ("verified", "false")])
    }

    #[test]
    fn refusals_of_one_source_and_reason_share_a_row() {
        let names = BTreeMap::new();
        let reader = Reader { names: &names, place: None };
        let shell = Shell::new(None, "", "");
        let events = [
            refused(5, "stale", "7"),
            logged(4, "session.end", &[]),
            refused(3, "stale", "31"),
            refused(2, "bad_signature", "1"),
            refused(1, "stale", "88"),
        ];
        let rows = rows(reader, &shell, &events, |_| (String::new(), false));
        let told: Vec<String> = rows
            .iter()
            .map(|(_, row)| {
                row.parts
                    .iter()
                    .map(|part| match part {
                        Part::Text(text) => text.as_ref(),
                        Part::Name(name, _) => name.as_str(),
                    })
                    .collect()
            })
            .collect();
        assert_eq!(
            told,
            [
                "126 requests were refused from 203.0.113.42",
                "An unknown client ended a session",
                "1 request was refused from 203.0.113.42"
            ]
        );
        let counts: Vec<u64> = rows[0].1.times.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [7, 31, 88]);
        assert!(rows[0].1.meta.starts_with("The signature is too old"), "{}", rows[0].1.meta);
    }

    #[test]
    fn a_page_is_cut_where_the_reader_does_not_come_from() {
        let events = || (0..10).rev().map(|seq| logged(seq, "session.end", &[])).collect();
        let seqs = |activity: &Activity| activity.events.iter().map(|logged| logged.seq).collect::<Vec<_>>();
        let mut older = Activity { events: events(), ..Activity::default() };
        cut(&mut older, 3, false);
        assert_eq!((seqs(&older), older.has_older, older.has_newer), (vec![9, 8, 7], true, false));
        let mut newer = Activity { events: events(), ..Activity::default() };
        cut(&mut newer, 3, true);
        assert_eq!((seqs(&newer), newer.has_older, newer.has_newer), (vec![2, 1, 0], false, true));
        // Refusals of one kind count once.
        let refusals = (0..10).rev().map(|seq| refused(seq, "stale", "1")).collect();
        let mut all = Activity { events: refusals, ..Activity::default() };
        cut(&mut all, 3, false);
        assert_eq!((all.events.len(), all.has_older), (10, false));
    }

    #[test]
    fn refused_requests_have_their_own_times_and_not_that_of_their_record() {
        let names = BTreeMap::new();
        let reader = Reader { names: &names, place: None };
        let shell = Shell::new(None, "", "");
        let mut late = refused(1, "stale", "2");
        let times = [("first_at", "2023-11-14T21:00:07Z"), ("last_at", "2023-11-14T21:03:09Z")];
        late.event.detail.extend(times.map(|(name, time)| (name.to_owned(), time.to_owned())));
        let told = detail(reader, &shell, &late);
        assert_eq!(told.at, "14 Nov 2023, 21:00:07 to 21:03:09 UTC");
        let recorded = told.facts.iter().find(|(label, _)| label == "Recorded").expect("the time of the record");
        assert_eq!(recorded.1, [words("14 Nov 2023, 22:13:20 UTC")]);
        assert!(told.facts.iter().all(|(label, _)| label != "First at" && label != "Code"), "{:?}", told.facts);
        let rows = rows(reader, &shell, &[late], |_| (String::new(), false));
        assert_eq!(rows[0].1.clock, "21:03");
        assert_eq!(detail(reader, &shell, &refused(1, "stale", "1")).at, "14 Nov 2023, 22:13:20 UTC");
    }

    #[test]
    fn numbers_have_separators() {
        for (number, text) in [(7, "7"), (999, "999"), (1_000, "1,000"), (48_112, "48,112"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
