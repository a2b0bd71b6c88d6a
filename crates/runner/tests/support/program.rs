//! What the integration tests start: a shim's binary, a server that can be killed, and programs
//! that misbehave.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["shim", folder] => runner::shim::main(Path::new(folder)),
        ["server", home, unit, script] => server(Path::new(home), unit, script),
        ["eat", mebibytes] => eat(mebibytes),
        _ => {
            eprintln!("unknown arguments: {words:?}");
            ExitCode::from(2)
        }
    }
}

/// Launches a shell script as a unit and waits for its end, to be killed before that.
fn server(home: &Path, unit: &str, script: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let program = std::env::current_exe().map_err(|error| error.to_string())?;
                let processes = runner::Processes::new(home, program).map_err(|e| e.to_string())?;
                let words = ["/bin/sh", "-c", "$SCRIPT"].map(str::to_owned).to_vec();
                let launch = runner::Launch {
                    unit: runner::UnitName::new(unit).map_err(|error| error.to_string())?,
                    attempt: 1,
                    command: model::Command::new(words).map_err(|error| error.to_string())?,
                    folder: PathBuf::from("/"),
                    environment: [("SCRIPT".to_owned(), script.to_owned())].into(),
                    stop_limit: std::time::Duration::from_secs(5),
                    logs: home.join("logs").join(unit),
                    restart: runner::Restart::Never,
                };
                let process = processes
                    .launch(&launch)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok::<_, String>(process.exited().await)
            })
        });
    match outcome {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Uses so much memory, every page of it, and goes on to the end of its input.
fn eat(mebibytes: &str) -> ExitCode {
    let Ok(mebibytes) = mebibytes.parse::<usize>() else {
        return ExitCode::from(2);
    };
    let mut eaten = Vec::new();
    for _ in 0..mebibytes {
        eaten.push(vec![1_u8; 1024 * 1024]);
    }
    let sum: usize = eaten.iter().flatten().map(|&byte| usize::from(byte)).sum();
    eprintln!("{sum} bytes");
    ExitCode::SUCCESS
}
