//! Ctrl-C and the polite signals.

use std::{future::ready, pin::pin, process, sync::mpsc, thread};

use tokio::{runtime, signal};

/// Exit code of a command that was interrupted.
const INTERRUPTED: i32 = 130;

/// Runs `farewell` and ends this process when Ctrl-C is pressed from now on.
pub(crate) fn on_interrupt(farewell: impl FnOnce() + Send + 'static) {
    let (armed, is_armed) = mpsc::channel();
    let watch = move || {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
        let interrupted = runtime.block_on(async {
            let mut interrupt = pin!(signal::ctrl_c());
            // The first poll puts the handler in place.
            tokio::select! {
                biased;
                pressed = &mut interrupt => return pressed.is_ok(),
                () = ready(()) => drop(armed),
            }
            interrupt.await.is_ok()
        });
        if interrupted {
            farewell();
            process::exit(INTERRUPTED);
        }
    };
    // Without the thread Ctrl-C still ends the process, only without a word.
    if thread::Builder::new().name("interrupt".into()).spawn(watch).is_ok() {
        let _: Result<(), _> = is_armed.recv();
    }
}

/// Resolves when somebody wants this process to end.
pub(crate) async fn wanted() {
    #[cfg(unix)]
    {
        if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
            tokio::select! {
                _ = signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = signal::ctrl_c().await;
}
