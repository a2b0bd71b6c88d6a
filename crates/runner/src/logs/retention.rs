//! Logs outlive their instances, but not for ever: every release brings new instances.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Removes logs of ended instances in `service`, the folder of a service's logs: all but those of
/// the `most` that wrote last. The instances that `lives` says yes to are neither removed nor
/// counted. Returns the names of the removed ones.
///
/// # Errors
/// A folder cannot be read or removed; others may have been removed before.
pub fn prune(service: &Path, most: usize, lives: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(service) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut ended: Vec<(SystemTime, String, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if entry.file_type()?.is_dir() && !lives(&name) {
            ended.push((last_written(&entry.path())?, name, entry.path()));
        }
    }
    ended.sort_by(|a, b| b.cmp(a));
    let mut removed = Vec::new();
    for (_, name, folder) in ended.into_iter().skip(most) {
        fs::remove_dir_all(folder)?;
        removed.push(name);
    }
    Ok(removed)
}

/// When anything in `folder` was written last.
fn last_written(folder: &Path) -> io::Result<SystemTime> {
    let mut latest = fs::metadata(folder)?.modified()?;
    for entry in fs::read_dir(folder)? {
        latest = latest.max(entry?.metadata()?.modified()?);
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_ended_instances_that_wrote_last_are_kept() {
        let service = tempfile::tempdir().unwrap();
        for number in 1..=6u64 {
            let folder = service.path().join(format!("shop.web.{number}.1"));
            fs::create_dir(&folder).unwrap();
            let file = fs::File::create(folder.join("0000000001.log")).unwrap();
            // The later the release, the longer ago; all later than the folders themselves.
            let at = SystemTime::now() + Duration::from_secs(1000 - number * 10);
            file.set_modified(at).unwrap();
        }
        let lives = |name: &str| name == "shop.web.6.1";
        let removed = prune(service.path(), 2, lives).unwrap();
        assert_eq!(removed, ["shop.web.3.1", "shop.web.4.1", "shop.web.5.1"]);
        let mut left: Vec<String> = fs::read_dir(service.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["shop.web.1.1", "shop.web.2.1", "shop.web.6.1"]);
        assert_eq!(prune(service.path(), 2, lives).unwrap(), [""; 0]);
        assert_eq!(
            prune(&service.path().join("absent"), 2, lives).unwrap(),
            [""; 0]
        );
    }
}
