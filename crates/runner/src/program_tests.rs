//! Which program is found, and what is said when none is.

use std::os::unix::fs::PermissionsExt;

use super::*;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        Self { folder }
    }

    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, "#!/no/such/interpreter -x\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn resolve(&self, program: &str, path: Option<&str>) -> Result<Program, LaunchError> {
        let environment = path
            .map(|path| ("PATH".to_owned(), path.to_owned()))
            .into_iter()
            .collect();
        let command = Command::new(vec![program.to_owned(), "$PATH".to_owned()]).unwrap();
        Program::resolve(&command, self.folder.path(), &environment)
    }

    fn error(&self, program: &str, path: Option<&str>) -> String {
        let error = self.resolve(program, path).unwrap_err();
        assert!(error.permanent, "{error}");
        error
            .error
            .replace(self.folder.path().to_str().unwrap(), "HERE")
    }
}

#[test]
fn a_name_is_looked_up_in_the_given_path() {
    let place = Place::new();
    let tool = place.file("bin/tool", 0o755);
    let found = place.resolve("tool", Some("/no/such:bin")).unwrap();
    assert_eq!(found.path, tool);
    assert_eq!(found.words, ["tool", "/no/such:bin"]);
    assert_eq!(
        place
            .resolve("./bin/tool", Some(""))
            .unwrap()
            .path
            .canonicalize()
            .unwrap(),
        tool
    );
}

#[test]
fn an_error_names_what_was_tried() {
    let place = Place::new();
    place.file("bin/plain", 0o644);
    place.file("beside", 0o755);
    let cases = [
        ("./gone", Some(""), "HERE/./gone does not exist"),
        ("./bin", Some(""), "HERE/./bin is not a file"),
        (
            "bin/plain",
            Some(""),
            "HERE/bin/plain is not executable; chmod +x it if it should be",
        ),
        (
            "plain",
            Some("bin"),
            "HERE/bin/plain is not executable; chmod +x it if it should be",
        ),
        (
            "tool",
            Some("/a:/b"),
            "\"tool\" was not found in PATH, which is /a:/b",
        ),
        (
            "tool",
            Some(""),
            "\"tool\" cannot be looked up: PATH is empty",
        ),
        (
            "beside",
            Some("/a"),
            "\"beside\" was not found in PATH, which is /a; write \"./beside\" to run HERE/beside",
        ),
    ];
    for (program, path, expected) in cases {
        assert_eq!(place.error(program, path), expected);
    }
    let unset = place.error("tool", None);
    assert!(
        unset.starts_with("$PATH in \"$PATH\" is not set"),
        "{unset}"
    );
}

#[test]
fn a_folder_must_be_one() {
    let place = Place::new();
    let file = place.file("file", 0o755);
    let command = Command::new(vec!["/bin/true".to_owned()]).unwrap();
    let try_in = |folder: &Path| {
        Program::resolve(&command, folder, &BTreeMap::new())
            .unwrap_err()
            .to_string()
    };
    assert!(try_in(&file).ends_with("is not a folder"));
    assert!(try_in(Path::new("relative")).ends_with("is not an absolute path"));
    let missing = try_in(&place.folder.path().join("gone"));
    assert!(
        missing.contains("gone cannot be used: No such file"),
        "{missing}"
    );
}

#[test]
fn what_cannot_be_passed_to_a_program_is_refused() {
    let command = Command::new(vec!["/bin/true".to_owned(), "a\0b".to_owned()]).unwrap();
    assert!(Program::resolve(&command, Path::new("/"), &BTreeMap::new()).is_err());
    let command = Command::new(vec!["/bin/true".to_owned()]).unwrap();
    for (name, value) in [("", ""), ("a=b", ""), ("a", "\0")] {
        let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert!(Program::resolve(&command, Path::new("/"), &environment).is_err());
    }
}

#[test]
fn an_answer_of_execve_is_explained() {
    let place = Place::new();
    let script = place.file("script", 0o755);
    let explain = |code| explain_exec_error(&script, &io::Error::from_raw_os_error(code));
    let missing = explain(libc::ENOENT).error;
    assert!(
        missing.ends_with("and /no/such/interpreter does not exist"),
        "{missing}"
    );
    assert!(explain(libc::ENOEXEC).permanent);
    assert!(!explain(libc::ETXTBSY).permanent);
}
