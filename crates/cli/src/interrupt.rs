//! Ctrl-C and the polite signals.

use std::{future::ready, io, pin::pin, process, sync::mpsc, thread};

use tokio::{runtime, signal};

/// Runs `farewell` and ends this process when Ctrl-C is pressed, the terminal is closed or somebody asks it to end, from
/// now on.
pub(crate) fn on_interrupt(farewell: impl FnOnce() + Send + 'static) {
    let (armed, is_armed) = mpsc::channel();
    let watch = move || {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
        let code = runtime.block_on(async {
            let mut interrupt = pin!(interrupted());
            // The first poll puts the handlers in place.
            tokio::select! {
                biased;
                code = &mut interrupt => return code,
                () = ready(()) => drop(armed),
            }
            interrupt.await
        });
        if let Ok(code) = code {
            farewell();
            process::exit(code);
        }
    };
    // Without the thread Ctrl-C still ends the process, only without a word.
    if thread::Builder::new().name("interrupt".into()).spawn(watch).is_ok() {
        let _: Result<(), _> = is_armed.recv();
    }
}

/// Resolves to the exit code of a command that was interrupted: 128 and the number of the signal.
async fn interrupted() -> io::Result<i32> {
    #[cfg(unix)]
    {
        use signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate, mut hangup) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        Ok(tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        })
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await.map(|()| 130)
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
