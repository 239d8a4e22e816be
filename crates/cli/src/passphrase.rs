//! Asking for a passphrase at the terminal, without showing it.

use std::{
    fs::OpenOptions,
    io::{self, BufRead as _, BufReader, Write as _},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Prints the prompt and reads one line of the terminal. It is never read from a pipe nor from a command line.
pub(crate) fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    let no_terminal = |e: io::Error| io::Error::new(e.kind(), format!("no terminal to ask for a passphrase: {e}"));
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    write!(terminal, "{prompt}")?;
    terminal.flush()?;
    let hidden = Hidden::new(&terminal)?;
    let mut line = Zeroizing::new(String::new());
    BufReader::new(&terminal).read_line(&mut line)?;
    drop(hidden);
    writeln!(terminal)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// While it lives, what is typed is not shown.
struct Hidden<'a> {
    terminal: &'a std::fs::File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a std::fs::File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
