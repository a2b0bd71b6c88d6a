//! What the program is told at its start: `$PORT`, and arguments that make it misbehave.

use std::time::Duration;

/// How to behave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where to listen, on 127.0.0.1.
    pub(crate) port: u16,
    /// `--start-delay-ms N`: how long to wait before listening.
    pub(crate) start_delay: Duration,
    /// `--exit-code N`: end at once with this code.
    pub(crate) exit_code: Option<u8>,
    /// `--ignore-signals`: stay when told to end, as a program that hangs does.
    pub(crate) ignore_signals: bool,
    /// `--unhealthy`: answer `/healthz` with 503.
    pub(crate) unhealthy: bool,
}

impl Options {
    /// Reads the arguments, and `PORT` from the environment.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let port = std::env::var("PORT").map_err(|_| "PORT is not set in the environment")?;
        Self::parse(&port, arguments)
    }

    fn parse(port: &str, mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            port: port
                .parse()
                .map_err(|_| format!("PORT is {port:?}, which is no port"))?,
            start_delay: Duration::ZERO,
            exit_code: None,
            ignore_signals: false,
            unhealthy: false,
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--start-delay-ms" => {
                    options.start_delay =
                        Duration::from_millis(number(&argument, arguments.next())?);
                }
                "--exit-code" => options.exit_code = Some(number(&argument, arguments.next())?),
                "--ignore-signals" => options.ignore_signals = true,
                "--unhealthy" => options.unhealthy = true,
                _ => return Err(format!("unknown argument {argument:?}")),
            }
        }
        Ok(options)
    }
}

fn number<N: std::str::FromStr>(name: &str, value: Option<String>) -> Result<N, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number after it"))?;
    value
        .parse()
        .map_err(|_| format!("{name} needs a number, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse("8000", words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read() {
        let options = parse("--start-delay-ms 20 --exit-code 3 --unhealthy").unwrap();
        assert_eq!(options.start_delay, Duration::from_millis(20));
        assert_eq!(options.exit_code, Some(3));
        assert!(options.unhealthy && !options.ignore_signals);
    }

    #[test]
    fn bad_arguments_are_refused() {
        for bad in [
            "--exit-code",
            "--exit-code 256",
            "--start-delay-ms x",
            "--what",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Options::parse("http", std::iter::empty()).is_err());
    }
}
