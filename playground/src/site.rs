//! Runs a web server on a thread of its own.
//!
//! The thread has its own runtime, so that a server starts from any test or program.

use std::io;
use std::thread;

use countersign_server::{Serving, ServingHandle};
use tokio::sync::oneshot;

/// A running server. It stops when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    handle: ServingHandle,
    ended: Option<oneshot::Receiver<()>>,
}

impl Site {
    /// Starts what `make` puts together on the new thread.
    pub(crate) async fn start<F, S>(
        name: &str,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = io::Result<S>>,
        S: Into<Serving>,
    {
        let (started, starting) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(run(make, started));
                // What the server owned, such as an open store, is gone when this is read.
                let _ = ending.send(());
            })?;
        let handle = starting
            .await
            .map_err(|_| io::Error::other("the server's thread ended early"))??;
        Ok(Self {
            handle,
            ended: Some(ended),
        })
    }

    /// Stops at once and waits until everything the server owned is gone.
    pub(crate) async fn stop(mut self) {
        self.handle.stop(false).await;
        if let Some(ended) = self.ended.take() {
            // The thread may have ended before: that is what is waited for.
            let _ = ended.await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The command is sent at the call; the future only waits for its end.
        drop(self.handle.stop(false));
    }
}

async fn run<S: Into<Serving>, F: Future<Output = io::Result<S>>>(
    make: impl FnOnce() -> F,
    started: oneshot::Sender<io::Result<ServingHandle>>,
) {
    // Where nobody waits any more, whoever started this is gone, and the server goes too.
    match make().await {
        Ok(server) => {
            let server = server.into();
            if started.send(Ok(server.handle())).is_ok() {
                let _ = server.run().await;
            }
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}
