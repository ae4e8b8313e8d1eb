//! What the benchmarks measure by: the release programs, and what the kernel says of processes and files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Bytes.
pub const MIB: f64 = 1_048_576.0;

/// Builds these packages' programs and says where they are.
pub fn build_release(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release"])
        .args(packages.iter().flat_map(|one| ["--package", one]))
        .current_dir(&root)
        .status()?;
    anyhow::ensure!(status.success(), "the programs do not build");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}

/// User and system time of a process since it started, in microseconds: of all its threads, and of the children that it has
/// waited for.
pub fn cpu_us(process: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // proc(5): the name may hold anything, so fields are counted after its closing parenthesis;
    // utime, stime, cutime and cstime are the 14th to 17th, in ticks of 10 ms.
    let (_, fields) = stat.rsplit_once(')').context("no stat")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks * 10_000.0)
}

/// The same of several processes together.
pub fn cpu_of_all_us(processes: &[u32]) -> anyhow::Result<f64> {
    processes.iter().map(|one| cpu_us(*one)).sum()
}

/// A process and its children, as they are now.
pub fn with_children(process: u32) -> anyhow::Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let children = children.split_whitespace().map(str::parse);
    let mut all = vec![process];
    for child in children {
        all.push(child?);
    }
    Ok(all)
}

/// CPU time of this thread, in microseconds: the kernel counts it in nanoseconds.
pub fn this_thread_us() -> f64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = schedstat
        .split_whitespace()
        .next()
        .and_then(|field| field.parse::<f64>().ok());
    nanoseconds.expect("a number") / 1e3
}

/// The resident memory of a process.
pub fn resident_mib(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// How many files and connections a process has open.
pub fn open_files(process: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count())
}

/// The files of a directory, and of those in it.
pub fn size_mib(directory: &Path) -> anyhow::Result<f64> {
    size_mib_of(directory, |_| true)
}

/// The same of those files whose names are such.
#[expect(clippy::cast_precision_loss, reason = "a size to be read by people")]
pub fn size_mib_of(directory: &Path, is_such: fn(&str) -> bool) -> anyhow::Result<f64> {
    let mut size = 0.0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // One that is gone by now has no size.
        size += match entry.metadata() {
            Ok(found) if found.is_dir() => size_mib_of(&entry.path(), is_such)?,
            Ok(found) if is_such(&entry.file_name().to_string_lossy()) => found.len() as f64 / MIB,
            Ok(_) | Err(_) => 0.0,
        };
    }
    Ok(size)
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(&mut values.collect::<Vec<_>>(), 50)
}

/// The one that so many in a hundred do not exceed.
///
/// # Panics
/// If there are no values.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
