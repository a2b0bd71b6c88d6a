//! How little a shim takes, and what is told about a program that took too much.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use model::ExitCause;
use support::{Home, PROGRAM, left_out, until};

/// There is one for each instance, so it has to stay small. This build is not optimised, and optimised ones only take
/// less.
#[tokio::test]
async fn a_shim_stays_below_three_mebibytes() {
    let home = Home::new();
    let script = "seq 1 100000; echo ready > $HOME_FOLDER/ready; exec sleep 620";
    let process = home.launch(&home.script("web", script)).await;
    home.file("ready").await;
    let logs = home.logs("web");
    until("all is logged", || {
        runner::logs::last_lines(&logs, 1).is_ok_and(|lines| lines == ["100000"])
    })
    .await;
    let rollup = format!("/proc/{}/smaps_rollup", process.shim_pid().unwrap());
    let rollup = fs::read_to_string(rollup).unwrap();
    let kibibytes = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    println!("{rollup}");
    assert!(kibibytes("Rss:") < 3 * 1024, "{rollup}");
}

/// A memory control group that allows 48 MiB, with the file that moves a process into it.
struct Group {
    folder: PathBuf,
}

impl Group {
    fn create() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let line = |wanted: &str| {
            own.lines()
                .find_map(|line| line.split_once(':')?.1.strip_prefix(wanted))
        };
        let name = format!("roadbed-test-{}", std::process::id());
        let (parent, limit) = match line("memory:") {
            Some(path) => (
                format!("/sys/fs/cgroup/memory{path}"),
                "memory.limit_in_bytes",
            ),
            None => {
                let path = line(":").ok_or("there are no control groups")?;
                (format!("/sys/fs/cgroup{path}"), "memory.max")
            }
        };
        let folder = Path::new(&parent).join(name);
        let failed = |error| format!("no memory control group {}: {error}", folder.display());
        fs::create_dir(&folder).map_err(failed)?;
        let group = Self {
            folder: folder.clone(),
        };
        fs::write(folder.join(limit), "50331648").map_err(failed)?;
        // Without this a machine with swap space would swap instead. Not every kernel has it.
        let _ = fs::write(folder.join("memory.swap.max"), "0");
        let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), "50331648");
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[tokio::test]
async fn a_kill_by_the_kernel_is_told_from_others() {
    let group = match Group::create() {
        Ok(group) => group,
        Err(reason) => return left_out(&format!("out-of-memory detection: {reason}")),
    };
    let home = Home::new();
    let script = format!(
        "echo $$ > {}/cgroup.procs && exec {PROGRAM} eat 200",
        group.folder.display()
    );
    let exit = home.run("web", &script).await;
    assert_eq!(exit.cause, ExitCause::OutOfMemory, "{exit:?}");

    let script = format!(
        "echo $$ > {}/cgroup.procs && {PROGRAM} eat 8 && kill -KILL $$",
        group.folder.display()
    );
    let exit = home.run("other", &script).await;
    assert_eq!(exit.cause, ExitCause::Signal(libc::SIGKILL), "{exit:?}");
}
