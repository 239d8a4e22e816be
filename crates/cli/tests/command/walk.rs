//! Walking through a document: its commands are run by a shell, in order, and their answers compared with what stands below them.
//!
//! In a block of ```` ```console ```` a line `company/person$ command` is a command, and what follows is its answer. `...` alone stands for any
//! lines, at the end of a line or within it for anything, `<name>` for one word or several that are the same wherever the name stands again,
//! also in commands. A command with `&` behind it goes on running; `kill %N` ends the Nth one of a company, and `kill -9 %N` kills it, as in
//! that company's shell. One whose answer begins with `error[` fails. Nothing is waited for without a bound.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// One command of a document.
pub(crate) struct Step {
    /// `company` or `company/person`.
    pub(crate) who: String,
    pub(crate) command: String,
    /// What it answers, as the document has it.
    pub(crate) expected: String,
}

/// The commands of a document.
pub(crate) fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        let prompt = line.split_once("$ ").filter(|(who, _)| !who.contains(' '));
        match (inside, prompt, steps.last_mut()) {
            (false, _, _) => {}
            (true, Some((who, command)), _) => {
                steps.push(Step { who: who.to_owned(), command: command.to_owned(), expected: String::new() });
            }
            (true, None, Some(step)) => step.expected.push_str(&format!("{line}\n")),
            (true, None, None) => panic!("{line}: an answer without a command"),
        }
    }
    steps
}

/// Where the walk has come to.
pub(crate) struct Walk {
    _root: TempDir,
    folder: PathBuf,
    /// What `<name>`s stood for.
    names: BTreeMap<String, String>,
    /// The document's addresses and the free ones that are used in their place.
    addresses: BTreeMap<String, String>,
    running: Vec<Job>,
}

/// A command with `&` behind it.
struct Job {
    who: String,
    number: usize,
    child: Child,
}

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(120);

impl Drop for Walk {
    fn drop(&mut self) {
        for job in &mut self.running {
            let _ = job.child.kill();
            let _ = job.child.wait();
        }
    }
}

impl Walk {
    pub(crate) fn begin() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().to_owned();
        Self { _root: root, folder, names: BTreeMap::new(), addresses: BTreeMap::new(), running: Vec::new() }
    }

    /// Runs a command and judges its answer.
    pub(crate) fn take(&mut self, step: &Step) {
        let command =
            self.names.iter().fold(step.command.clone(), |command, (name, value)| command.replace(name, value));
        if let Some(folder) = command.strip_prefix("cd ") {
            self.folder = self.folder.join(folder);
            self.take_free_ports();
            return;
        }
        if let Some(job) = command.strip_prefix("kill ") {
            return self.end(step, job);
        }
        let (answer, fails) = match command.strip_suffix(" &") {
            Some(service) => (self.start(step, service), false),
            None => self.run(step, &command),
        };
        let refused = step.expected.lines().any(|line| line.starts_with("error[") || line.contains(" refused "));
        assert_eq!(fails, refused, "{}$ {command}\n{answer}", step.who);
        self.judge(step, &answer).unwrap_or_else(|why| panic!("{}$ {command}\n{answer}\n{why}", step.who));
    }

    fn shell(&self, step: &Step, command: &str) -> Command {
        let own = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).env("PATH", path).stdin(Stdio::null());
        match step.who.split_once('/') {
            Some((company, person)) => shell.env("COUNTERSIGN_PROFILE", format!("{company}/as-{person}.toml")),
            None => shell.env_remove("COUNTERSIGN_PROFILE"),
        };
        shell
    }

    /// What the command says, and whether it failed.
    fn run(&self, step: &Step, command: &str) -> (String, bool) {
        let mut shell = self.shell(step, &format!("{{ {command}\n}} 2>&1"));
        let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = child.stdout.take().unwrap();
        let said = within(&format!("{}$ {command}", step.who), &mut child, move || {
            let mut text = String::new();
            said.read_to_string(&mut text).map(|_| text).unwrap()
        });
        (said, !child.wait().unwrap().success())
    }

    /// Starts a service; what it says first.
    fn start(&mut self, step: &Step, command: &str) -> String {
        let mut shell = self.shell(step, &format!("exec {command}"));
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let line = within(&format!("{}$ {command} &", step.who), &mut child, move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line).unwrap()
        });
        let number = self.running.iter().filter(|job| job.who == step.who).map(|job| job.number).max();
        self.running.push(Job { who: step.who.clone(), number: number.unwrap_or(0) + 1, child });
        line
    }

    /// `kill %N`, `kill -9 %N`; returns when it has ended.
    fn end(&mut self, step: &Step, job: &str) {
        let (number, by_force) = match job.strip_prefix("-9 ") {
            Some(number) => (number, true),
            None => (job, false),
        };
        let number: usize = number.strip_prefix('%').and_then(|number| number.parse().ok()).unwrap();
        let is_it = |job: &Job| job.who == step.who && job.number == number;
        let at = self.running.iter().position(is_it).unwrap_or_else(|| panic!("{} has no job {number}", step.who));
        let mut child = self.running.remove(at).child;
        let signal = if by_force { "-KILL" } else { "-TERM" };
        let told = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let by = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < by, "{}$ kill {job}: it did not end within {PATIENCE:?}", step.who);
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts free addresses in the place of the fixed ones in the folder's configurations: another walk may have those.
    fn take_free_ports(&mut self) {
        let mut held = Vec::new();
        for company in fs::read_dir(&self.folder).unwrap().map(|company| company.unwrap().path()) {
            for file in company.is_dir().then(|| fs::read_dir(&company).unwrap()).into_iter().flatten() {
                let file = file.unwrap().path();
                if file.extension().is_none_or(|end| end != "toml") {
                    continue;
                }
                let mut text = fs::read_to_string(&file).unwrap();
                let fixed: Vec<String> =
                    text.split('"').filter(|word| word.starts_with("127.0.0.1:")).map(str::to_owned).collect();
                for address in fixed {
                    let free = self.addresses.entry(address.clone()).or_insert_with(|| {
                        held.push(TcpListener::bind("127.0.0.1:0").unwrap());
                        held.last().unwrap().local_addr().unwrap().to_string()
                    });
                    text = text.replace(&format!("\"{address}\""), &format!("\"{free}\""));
                }
                fs::write(&file, text).unwrap();
            }
        }
    }

    /// Compares an answer with the document, and learns what its names stand for.
    pub(crate) fn judge(&mut self, step: &Step, answer: &str) -> Result<(), String> {
        let expected =
            self.addresses.iter().fold(step.expected.clone(), |text, (fixed, free)| text.replace(fixed, free));
        let answer: Vec<&str> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
        let mut at = 0;
        let mut may_skip = false;
        for line in expected.lines().filter(|line| !line.trim().is_empty()) {
            if line == "..." {
                may_skip = true;
                continue;
            }
            let found = answer.iter().skip(at).position(|said| matches(&mut self.names.clone(), line, said));
            let Some(skipped) = found.filter(|skipped| may_skip || *skipped == 0) else {
                return Err(format!("the document says: {line}"));
            };
            at += skipped;
            assert!(matches(&mut self.names, line, answer[at]));
            at += 1;
            may_skip = false;
        }
        if may_skip || at == answer.len() { Ok(()) } else { Err(format!("the document does not say: {}", answer[at])) }
    }
}

/// What reading a command's output comes to; a command that says nothing for too long is killed, and the test fails.
fn within(what: &str, child: &mut Child, read: impl FnOnce() -> String + Send + 'static) -> String {
    let (answer, said) = mpsc::channel();
    thread::spawn(move || drop(answer.send(read())));
    said.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = child.kill();
        panic!("{what}: it did not answer within {PATIENCE:?}")
    })
}

/// Whether a line says what the document has, however many spaces are between words; names that are new learn what they stand for.
fn matches(names: &mut BTreeMap<String, String>, expected: &str, said: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    fits(names, &words(expected), &words(said))
}

fn fits(names: &mut BTreeMap<String, String>, expected: &str, said: &str) -> bool {
    let special = [expected.find("..."), expected.find('<')].into_iter().flatten().min();
    let Some(at) = special else { return expected == said };
    let (plain, rest) = expected.split_at(at);
    let Some(said) = said.strip_prefix(plain) else { return false };
    let ends = |said: &str| (0..=said.len()).filter(|end| said.is_char_boundary(*end)).rev().collect::<Vec<_>>();
    if let Some(rest) = rest.strip_prefix("...") {
        return ends(said).into_iter().any(|end| fits(names, rest, &said[end..]));
    }
    let (name, rest) = rest.split_at(rest.find('>').unwrap() + 1);
    if let Some(known) = names.get(name).cloned() {
        return said.strip_prefix(known.as_str()).is_some_and(|said| fits(names, rest, said));
    }
    for end in ends(said).into_iter().filter(|end| *end > 0) {
        let mut with = names.clone();
        with.insert(name.to_owned(), said[..end].to_owned());
        if fits(&mut with, rest, &said[end..]) {
            *names = with;
            return true;
        }
    }
    false
}
