//! Ctrl-C and the polite signals.

use std::{future::ready, io, pin::pin, process, sync::mpsc, thread};

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

/// Catches the signals from now on, inside a runtime; what it returns resolves when somebody wants this process to end.
pub(crate) fn wanted() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let (mut interrupt, mut terminate) = {
        use signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = signal::ctrl_c().await;
    })
}
