//! No descriptor goes where it does not belong. Alone in its file, and so in its process, whose
//! descriptors it counts.

mod support;

use model::ExitCause;
use support::{Home, until};

#[tokio::test]
async fn no_descriptor_is_leaked() {
    let home = Home::new();
    // A descriptor that this process is careless about.
    let inherited = std::fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let ours = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert_eq!(home.run("first", "true").await.cause, ExitCause::Code(0));
    let before = ours();
    for attempt in 1..=10 {
        let mut launch = home.script("web", "exec sleep 600");
        launch.attempt = attempt;
        let process = home.launch(&launch).await;
        let shim = process.shim_pid().unwrap();
        let of = |pid: u32| {
            let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            // One may be closed between the listing and the look at it.
            entries
                .filter_map(|e| std::fs::read_link(e.unwrap().path()).ok())
                .collect::<Vec<_>>()
        };
        assert!(!of(shim).contains(&"/dev/zero".into()), "{:?}", of(shim));
        let child = process.child_pid().unwrap();
        until("the shell has become sleep", || {
            std::fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|c| c == "sleep\n")
        })
        .await;
        // While it is loaded it has its libraries open; what was leaked to it would stay.
        until("it has its three descriptors", || of(child).len() == 3).await;
        process.kill().unwrap();
        process.exited().await;
        home.processes.forget(&launch.unit, attempt).await.unwrap();
    }
    // A runtime may open one or two for itself meanwhile; ten starts would leak ten.
    assert!(ours() < before + 5, "{before} before, {} after", ours());
}
