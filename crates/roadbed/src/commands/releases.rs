//! `roadbed releases`: those of an app that are kept, and what differs between two of them.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use control::{
    KeyChange, PathChange, PathContent, ReleaseChanges, ReleaseDifference, ReleaseList,
    ReleaseState, ReleaseStatus,
};

use crate::arguments::{Releases, ReleasesCommand, ReleasesDiff};
use crate::commands::status::seconds;
use crate::commands::{runtime, wrap};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::plural;
use crate::output::{print_json, print_result};
use crate::terminal::table;

/// Keys that a line of the list names.
const MOST_KEYS: usize = 3;

pub(crate) fn run(releases: &Releases, context: &Context) -> Result<ExitCode, Failure> {
    if let Some(ReleasesCommand::Diff(difference)) = &releases.command {
        return diff(difference, context);
    }
    let Some(app) = &releases.app else {
        return Err(Failure::usage("name an app: roadbed releases APP"));
    };
    let path = format!("/v1/apps/{app}/releases");
    let list: ReleaseList = runtime()?.block_on(async {
        let client = context.client();
        client.get(&path).await.map_err(Failure::from)
    })?;
    if releases.json {
        return print_json(&list);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or_default();
    print_result(&render(&list, now))
}

fn render(list: &ReleaseList, now: u64) -> String {
    let rows: Vec<Vec<String>> = list
        .releases
        .iter()
        .map(|release| row(release, now))
        .collect();
    let mut text = table(&rows);
    for release in &list.releases {
        if let Some(reason) = &release.reason {
            let line = format!("{}: {reason}", release.release);
            text.push_str(&wrap::wrap(&line, 0));
        }
    }
    text
}

fn row(release: &ReleaseStatus, now: u64) -> Vec<String> {
    let age = format!("{} ago", seconds(now.saturating_sub(release.created)));
    vec![
        release.release.to_string(),
        state(release),
        age,
        release.by.clone().unwrap_or_default(),
        changes(release),
    ]
}

fn state(release: &ReleaseStatus) -> String {
    let name = release.state.name();
    match (release.state, release.followed_by) {
        (ReleaseState::Reverted, Some(to)) => format!("{name} to {to}"),
        (ReleaseState::Superseded, Some(by)) => format!("{name} by {by}"),
        _ => name.to_owned(),
    }
}

fn changes(release: &ReleaseStatus) -> String {
    let ReleaseChanges {
        before,
        keys,
        files_added,
        files_changed,
        files_removed,
    } = &release.changes;
    let mut facts = Vec::new();
    if let Some(number) = release.restores {
        facts.push(format!("back to {number}"));
    }
    if before.is_none() && release.restores.is_none() {
        facts.push("the first".to_owned());
    }
    facts.extend(keys.iter().take(MOST_KEYS).cloned());
    if keys.len() > MOST_KEYS {
        facts.push(format!("{} more keys", keys.len() - MOST_KEYS));
    }
    let counts = [
        (*files_added, "new"),
        (*files_changed, "changed"),
        (*files_removed, "removed"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let files = plural(usize::try_from(count).unwrap_or(usize::MAX), "file");
        facts.push(format!("{count} {files} {what}"));
    }
    if facts.is_empty() {
        facts.push("nothing".to_owned());
    }
    facts.join(", ")
}

fn diff(difference: &ReleasesDiff, context: &Context) -> Result<ExitCode, Failure> {
    let ReleasesDiff {
        app,
        before,
        after,
        json,
    } = difference;
    let path = format!("/v1/apps/{app}/releases/{before}/diff/{after}");
    let found: ReleaseDifference = runtime()?.block_on(async {
        let client = context.client();
        client.get(&path).await.map_err(Failure::from)
    })?;
    if *json {
        return print_json(&found);
    }
    print_result(&render_difference(&found))
}

fn render_difference(found: &ReleaseDifference) -> String {
    if found.configuration.is_empty() && found.files.is_empty() {
        return format!(
            "releases {} and {} of {} are the same\n",
            found.before, found.after, found.app
        );
    }
    let mut rows = Vec::new();
    for KeyChange { key, before, after } in &found.configuration {
        rows.push(match (before, after) {
            (None, Some(after)) => line("+", key, after.clone()),
            (Some(before), None) => line("-", key, before.clone()),
            (before, after) => {
                let [before, after] = [before, after].map(|v| v.clone().unwrap_or_default());
                line("~", key, format!("{before} -> {after}"))
            }
        });
    }
    let configuration = table(&rows);
    rows.clear();
    for PathChange {
        path,
        before,
        after,
    } in &found.files
    {
        rows.push(match (before, after) {
            (None, Some(after)) => line("+", path, content(after)),
            (Some(before), None) => line("-", path, content(before)),
            (Some(before), Some(after)) => {
                let (before, after) = (content(before), content(after));
                match before == after {
                    true => line("~", path, format!("{after}, other content")),
                    false => line("~", path, format!("{before} -> {after}")),
                }
            }
            (None, None) => continue,
        });
    }
    let files = table(&rows);
    let mut text = String::new();
    for (name, table) in [("configuration", configuration), ("files", files)] {
        if !table.is_empty() {
            text.push_str(&format!("{name}\n"));
            text.extend(table.lines().map(|line| format!("  {line}\n")));
        }
    }
    text
}

fn line(sign: &str, what: &str, how: String) -> Vec<String> {
    vec![format!("{sign} {what}"), how]
}

fn content(content: &PathContent) -> String {
    if let Some(target) = &content.target {
        return format!("link to {target}");
    }
    let executable = match content.executable {
        Some(true) => ", executable",
        _ => "",
    };
    match content.size {
        Some(1) => format!("1 byte{executable}"),
        Some(size) => format!("{size} bytes{executable}"),
        None => "folder".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, state: ReleaseState) -> ReleaseStatus {
        ReleaseStatus {
            release: number,
            state,
            created: 1_000_000,
            ended: None,
            by: Some("ada".into()),
            folder: "/home/ada/shop".into(),
            restores: None,
            reason: None,
            followed_by: None,
            manifest: None,
            files: 3,
            bytes: 100,
            changes: ReleaseChanges {
                before: Some(number - 1),
                keys: Vec::new(),
                files_added: 0,
                files_changed: 0,
                files_removed: 0,
            },
        }
    }

    #[test]
    fn releases_are_listed_with_who_when_what_and_how_they_ended() {
        let mut first = release(1, ReleaseState::Replaced);
        first.changes.before = None;
        let mut second = release(2, ReleaseState::Reverted);
        second.followed_by = Some(1);
        second.reason = Some("web.2.1 exited with code 2".into());
        second.changes.keys = ["a", "b", "c", "d"].map(String::from).into();
        let mut third = release(3, ReleaseState::Live);
        third.restores = Some(1);
        third.changes.files_changed = 1;
        let list = ReleaseList {
            app: "shop".into(),
            releases: vec![third, second, release(4, ReleaseState::RollingOut), first],
        };
        insta::assert_snapshot!(render(&list, 1_060_000), @r"
        3  live           1m ago  ada  back to 1, 1 file changed
        2  reverted to 1  1m ago  ada  a, b, c, 1 more keys
        4  rolling out    1m ago  ada  nothing
        1  replaced       1m ago  ada  the first
        2: web.2.1 exited with code 2
        ");
    }

    #[test]
    fn what_differs_is_shown_by_key_and_by_path() {
        let file = |size| PathContent {
            kind: "file".into(),
            size: Some(size),
            executable: Some(size > 9),
            target: None,
        };
        let text = |text: &str| Some(text.to_owned());
        let found = ReleaseDifference {
            app: "shop".into(),
            before: 1,
            after: 2,
            configuration: vec![
                KeyChange {
                    key: "services.web.replicas".into(),
                    before: text("2"),
                    after: text("3"),
                },
                KeyChange {
                    key: "include".into(),
                    before: None,
                    after: text("[\"x\"]"),
                },
            ],
            files: vec![
                PathChange {
                    path: "gone".into(),
                    before: Some(file(1)),
                    after: None,
                },
                PathChange {
                    path: "web".into(),
                    before: Some(file(10)),
                    after: Some(file(10)),
                },
            ],
        };
        insta::assert_snapshot!(render_difference(&found), @r#"
        configuration
          ~ services.web.replicas  2 -> 3
          + include                ["x"]
        files
          - gone  1 byte
          ~ web   10 bytes, executable, other content
        "#);
    }
}
