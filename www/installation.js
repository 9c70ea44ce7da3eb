/** Keeps the page on the device: registers the service worker and offers its newer versions. */
export async function keepForOffline(notices) {
  if (!("serviceWorker" in navigator)) return;
  let registration;
  try {
    registration = await navigator.serviceWorker.register("/sw.js");
  } catch {
    return offerWithoutRegistration(notices);
  }
  watchForUpdates(registration, notices);
  await navigator.serviceWorker.ready;
  document.querySelector("#offline-ready").hidden = false;
}

/** Registering asks the server for the worker; without a server the one that is here goes on. */
async function offerWithoutRegistration(notices) {
  const registration = await navigator.serviceWorker.getRegistration();
  if (registration?.active) document.querySelector("#offline-ready").hidden = false;
  else notices.show("installation", "This browser did not keep the page: it needs the server to open again.");
}

function watchForUpdates(registration, notices) {
  if (registration.waiting && registration.active) offerUpdate(registration.waiting, notices);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker.addEventListener("statechange", () => {
      if (worker.state === "installed" && registration.active) offerUpdate(worker, notices);
    });
  });
}

function offerUpdate(worker, notices) {
  const run = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    worker.postMessage("take over");
  };
  notices.show("update", "There is a newer version of this page.", { kind: "info", action: { label: "Use it", run } });
}
