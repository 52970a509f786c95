//! Which backends there are: the only file that names them, and the only one that asks which were built in.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "devices/without_cuda.rs"]
mod cuda;

use std::{fmt, str::FromStr};

use ffai_cpu::{Cpu, CpuOptions};
use ffai_program::{Backend, Reference};

use crate::{Error, LoadEvent, LoadOptions, memory::Limited};

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The fastest there is: the first NVIDIA card, where there is one that can run the model and nobody asked for a number of
    /// threads, for deterministic results or for how keys and values are kept; else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card by its number, counted from 0 (the driver puts the fastest first), or the first.
    Cuda(Option<usize>),
    /// The interpreter that defines what is right: slow, on one thread.
    Reference,
}

/// A name that is no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected auto, cpu, cuda or cuda:N, where N is a card's number, counted from 0")]
pub struct UnknownDevice;

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Device, UnknownDevice> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Device::Auto),
            None if text == "cpu" => Ok(Device::Cpu),
            None if text == "cuda" => Ok(Device::Cuda(None)),
            // `parse` would take a sign.
            Some(("cuda", n)) if n.bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Device::Cuda(Some(n.parse().map_err(|_| UnknownDevice)?)))
            }
            _ => Err(UnknownDevice),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(None) => f.write_str("cuda"),
            Device::Cuda(Some(n)) => write!(f, "cuda:{n}"),
            Device::Reference => f.write_str("reference"),
        }
    }
}

/// Something about this machine, for `ffai doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub name: String,
    /// What was found.
    pub value: String,
    /// What to do about it, when something is missing.
    pub advice: Option<String>,
}

/// What there is besides the processor, and what is missing to use it.
pub fn accelerators() -> Vec<Finding> {
    cuda::findings()
}

/// Does `work` on the first device that can, of those that `options` allow; gives the backend too. A device that is passed over is
/// told, and so is the one that is taken.
pub(crate) fn first<T>(
    options: &LoadOptions,
    on: &mut dyn FnMut(LoadEvent),
    mut work: impl FnMut(&dyn Backend, &mut dyn FnMut(LoadEvent)) -> Result<T, Error>,
) -> Result<(T, Box<dyn Backend>), Error> {
    let mut devices = candidates(options).into_iter().peekable();
    let mut device = devices.next().unwrap_or_default();
    loop {
        let done = open(device, options).and_then(|backend| Ok((work(&*backend, on)?, backend)));
        match (done, devices.next()) {
            (Err(why), Some(next)) if is_the_devices(&why) => {
                on(LoadEvent::PassedOver { device, why: why.to_string() });
                device = next;
            }
            (done, _) => {
                let (done, backend) = done?;
                on(LoadEvent::Device { name: backend.name() });
                return Ok((done, backend));
            }
        }
    }
}

/// The best first. Threads are the processor's, and so are results that are the same bits in any step, so who asks for either means it.
fn candidates(options: &LoadOptions) -> Vec<Device> {
    match (options.device, options.threads) {
        (Device::Auto, None) if !options.deterministic && options.kv.is_none() && cuda::is_present() => {
            vec![Device::Cuda(None), Device::Cpu]
        }
        (Device::Auto, _) => vec![Device::Cpu],
        (device, _) => vec![device],
    }
}

/// The backend of a device, within the limit of memory.
fn open(device: Device, options: &LoadOptions) -> Result<Box<dyn Backend>, Error> {
    Ok(Box::new(Limited::new(unlimited(device, options)?, options.memory_limit)))
}

fn unlimited(device: Device, options: &LoadOptions) -> Result<Box<dyn Backend>, Error> {
    match (device, options.threads) {
        (Device::Auto | Device::Cpu, threads) => {
            Ok(Box::new(Cpu::new(CpuOptions { threads, level: None, kv: options.kv })?))
        }
        (Device::Cuda(_), Some(threads)) => Err(Error::Option {
            option: "threads",
            value: threads.to_string(),
            expected: format!("left out on {device}: only the processor has threads to choose"),
        }),
        (Device::Cuda(_), None) if options.kv.is_some() => Err(Error::Option {
            option: "kv",
            value: options.kv.map(|kv| kv.to_string()).unwrap_or_default(),
            expected: format!("left out on {device}: only the processor has a choice"),
        }),
        (Device::Cuda(_), None) if options.deterministic => Err(Error::Option {
            option: "deterministic",
            value: "set".to_owned(),
            expected: format!("left out on {device}: cards sum in orders that depend on the step"),
        }),
        (Device::Cuda(ordinal), None) => cuda::backend(ordinal).map_err(|source| Error::Device { device, source }),
        (Device::Reference, _) => Ok(Box::new(Reference)),
    }
}

/// Another device may do better with the same model.
fn is_the_devices(error: &Error) -> bool {
    matches!(error, Error::Device { .. } | Error::Compile(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [Device::Auto, Device::Cpu, Device::Cuda(None), Device::Cuda(Some(0)), Device::Cuda(Some(12))] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for odd in [
            "",
            "gpu",
            "cuda:",
            "cuda:x",
            "cuda:-1",
            "cuda:+1",
            "cuda:0:1",
            "cpu:0",
            "CUDA",
            "cuda:99999999999999999999",
        ] {
            assert_eq!(odd.parse::<Device>(), Err(UnknownDevice), "{odd}");
        }
    }

    #[test]
    fn a_number_of_threads_means_the_processor() {
        let options = |device| LoadOptions { device, threads: Some(1), ..LoadOptions::default() };
        let ((), backend) = first(&options(Device::Auto), &mut |_| {}, |_, _| Ok(())).unwrap();
        assert!(backend.name().starts_with("cpu"), "{}", backend.name());
        let error = first(&options(Device::Cuda(None)), &mut |_| {}, |_, _| Ok(())).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("threads is 1"), "{error}");
    }

    #[test]
    fn deterministic_results_mean_the_processor() {
        let options = |device| LoadOptions { device, deterministic: true, ..LoadOptions::default() };
        let ((), backend) = first(&options(Device::Auto), &mut |_| {}, |_, _| Ok(())).unwrap();
        assert!(backend.name().starts_with("cpu"), "{}", backend.name());
        let error = first(&options(Device::Cuda(None)), &mut |_| {}, |_, _| Ok(())).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("deterministic is set"), "{error}");
    }

    #[test]
    fn the_device_that_was_taken_is_told() {
        let mut told = Vec::new();
        let options = LoadOptions { threads: Some(1), ..LoadOptions::default() };
        let (_, backend) = first(&options, &mut |event| told.push(event), |_, _| Ok(())).unwrap();
        assert_eq!(told, [LoadEvent::Device { name: backend.name() }]);
    }

    #[test]
    fn a_card_that_is_not_there_is_refused_by_name() {
        let options = LoadOptions { device: Device::Cuda(Some(99)), ..LoadOptions::default() };
        let error = first(&options, &mut |_| {}, |_, _| Ok(())).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Device { device: Device::Cuda(Some(99)), .. }), "{error}");
        assert!(error.to_string().starts_with("cuda:99 cannot be used: "), "{error}");
    }
}
