//! The flags of the thin binaries: `--config FILE [--check-config | --init-store]`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::StartError;

/// What the process is asked to do with its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Serve until told to stop.
    Serve,
    /// Read and check the configuration and the files it names, change nothing.
    CheckConfig,
    /// Make the empty store.
    InitStore,
}

/// The flags of a service process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceArgs {
    /// The configuration file.
    pub config: PathBuf,
    /// What to do.
    pub command: Command,
}

impl ServiceArgs {
    /// The flags, as `--help` shows them.
    pub const HELP: &str = "\
  --config FILE    the configuration (TOML)
  --check-config   read and check it and the files it names, change nothing
  --init-store     make the empty store
  --help           this text
";

    /// Reads flags, without the program's name. None: help was asked for.
    ///
    /// # Errors
    /// [`StartError::Usage`] naming the flag.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, StartError> {
        let usage = |problem: String| StartError::Usage { problem };
        let mut arguments = arguments.into_iter();
        let (mut config, mut command) = (None, None);
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy().into_owned();
            let chosen = match text.as_str() {
                "--help" | "-h" => return Ok(None),
                "--check-config" => Command::CheckConfig,
                "--init-store" => Command::InitStore,
                "--config" => {
                    let file = arguments.next().ok_or_else(|| usage("--config needs a file".to_owned()))?;
                    set_once(&mut config, PathBuf::from(file), "--config")?;
                    continue;
                }
                other => match other.strip_prefix("--config=") {
                    Some(file) => {
                        set_once(&mut config, PathBuf::from(file), "--config")?;
                        continue;
                    }
                    None => return Err(usage(format!("unknown argument {text:?}"))),
                },
            };
            set_once(&mut command, chosen, "one of --check-config and --init-store")?;
        }
        let config = config.ok_or_else(|| usage("--config FILE is missing".to_owned()))?;
        Ok(Some(Self { config, command: command.unwrap_or(Command::Serve) }))
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), StartError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(StartError::Usage { problem: format!("{what} may stand only once") }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Option<ServiceArgs>, StartError> {
        ServiceArgs::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn flags_are_read() {
        let expected = |command| Some(ServiceArgs { config: "a.toml".into(), command });
        assert_eq!(parsed(&["--config", "a.toml"]).unwrap(), expected(Command::Serve));
        assert_eq!(parsed(&["--check-config", "--config=a.toml"]).unwrap(), expected(Command::CheckConfig));
        assert_eq!(parsed(&["--config", "a.toml", "--init-store"]).unwrap(), expected(Command::InitStore));
        assert_eq!(parsed(&["--help"]).unwrap(), None);
    }

    #[test]
    fn wrong_flags_are_refused() {
        let both = ["--config", "a", "--check-config", "--init-store"];
        let cases: [&[&str]; 5] = [&[], &["--config"], &["--config", "a", "--config", "b"], &["--port", "1"], &both];
        for case in cases {
            assert_eq!(parsed(case).unwrap_err().exit_code(), 2, "{case:?}");
        }
    }
}
