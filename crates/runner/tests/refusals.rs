//! What is said about a program that cannot be started, and that nothing is left of the attempt.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use model::ExitCause;
use runner::{AdoptError, Launch, LaunchError};
use support::{Home, unit};

impl Home {
    async fn refusal(&self, launch: &Launch) -> LaunchError {
        let begun = Instant::now();
        let error = self.processes.launch(launch).await.unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{error} after {:?}",
            begun.elapsed()
        );
        let left = fs::read_dir(self.path().join("units")).unwrap().count();
        assert_eq!(left, 1, "only the home's id is left");
        let adopted = self.processes.adopt(&launch.unit, launch.attempt).await;
        assert!(matches!(adopted, Err(AdoptError::Unknown(_))));
        error
    }

    fn executable(&self, name: &str, content: &[u8]) -> String {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let home = Home::new();
    let error = home
        .refusal(&home.command("web", &["./web", "--verbose"], &[]))
        .await;
    assert_eq!(
        error.error,
        format!("{}/./web does not exist", home.path().display())
    );
    let exit = error.clone().into_exit();
    assert_eq!(
        exit.cause,
        ExitCause::NotStarted {
            error: error.error,
            permanent: true
        }
    );

    let error = home
        .refusal(&home.command("web", &["no-such-tool"], &[]))
        .await;
    assert_eq!(
        error.error,
        "\"no-such-tool\" was not found in PATH, which is /usr/bin:/bin"
    );
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let home = Home::new();
    let mut launch = home.script("web", "true");
    launch.folder = home.path().join("gone");
    let error = home.refusal(&launch).await;
    assert!(
        error.permanent && error.error.contains("/gone cannot be used: No such file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_program_is_told_from_one_that_may_not_run() {
    let home = Home::new();
    let text = home.executable("text", b"just some text\n");
    let error = home.refusal(&home.command("web", &["./text"], &[])).await;
    assert!(error.permanent);
    assert!(
        error.error.ends_with("nor a script with a #! line"),
        "{error}"
    );

    fs::set_permissions(&text, fs::Permissions::from_mode(0o644)).unwrap();
    let error = home.refusal(&home.command("web", &["./text"], &[])).await;
    assert!(
        error.error.contains("text is not executable; chmod +x"),
        "{error}"
    );

    home.executable("script", b"#!/no/such/python3 -u\n");
    let error = home.refusal(&home.command("web", &["./script"], &[])).await;
    assert!(
        error.error.ends_with("and /no/such/python3 does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unset_variable_is_named() {
    let home = Home::new();
    let error = home
        .refusal(&home.command("web", &["/bin/echo", "$PORT"], &[]))
        .await;
    assert!(
        error.permanent && error.error.starts_with("$PORT in \"$PORT\" is not set"),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_kept_is_no_reason_to_run_without_one() {
    let home = Home::new();
    let mut launch = home.script("web", "true");
    launch.logs = home.path().join("file/logs");
    fs::write(home.path().join("file"), "").unwrap();
    let error = home.refusal(&launch).await;
    assert!(
        error
            .error
            .contains("file/logs cannot be kept: Not a directory"),
        "{error}"
    );
}

#[tokio::test]
async fn a_shim_that_is_none_is_told() {
    let home = Home::new();
    let with = |program: &str| runner::Processes::new(home.path(), program.into()).unwrap();
    let launch = home.script("web", "true");
    for (program, expected) in [
        (
            "/no/such/roadbed",
            "its shim /no/such/roadbed: No such file",
        ),
        ("/bin/false", "its shim ended with exit status: 1"),
        ("/bin/true", "its shim failed: "),
        ("/bin/echo", "it is not a shim that runs"),
    ] {
        let error = with(program).launch(&launch).await.unwrap_err();
        assert!(error.error.contains(expected), "{program}: {error}");
    }
}

#[tokio::test]
async fn an_attempt_is_made_once() {
    let home = Home::new();
    let launch = home.script("web", "exec sleep 600");
    let process = home.launch(&launch).await;
    let error = home.processes.launch(&launch).await.unwrap_err();
    assert!(error.error.contains("web.1 is not new"), "{error}");
    assert!(process.child_pid().is_some(), "the first is none the worse");
    let error = home.processes.forget(&unit("web"), 1).await.unwrap_err();
    assert!(error.to_string().ends_with("web.1 still runs"), "{error}");
    process.kill().unwrap();
    process.exited().await;
    home.processes.forget(&unit("web"), 1).await.unwrap();
    home.processes.forget(&unit("web"), 1).await.unwrap();
}
