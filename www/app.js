/** The page's start: loads the package, opens the store, and hands every change of it to the views. */
import { Announcer } from "./announcer.js";
import { ConnectionPill } from "./connection.js";
import { FaultPanel } from "./faults.js";
import { FlowView } from "./flow.js";
import { keepForOffline } from "./installation.js";
import { Notices } from "./notices.js";
import { PeopleList } from "./people.js";
import { QueueList } from "./queue.js";
import { createPeopleStore } from "./store.js";

const notices = new Notices(document.querySelector("#notices"));

async function start() {
  keepForOffline(notices);
  const store = await openStore();
  const announcer = new Announcer(document.querySelector("#announcer"));
  const views = [
    new PeopleList(store, announcer),
    new QueueList(store, announcer),
    new FlowView(store),
    new ConnectionPill(store, announcer),
  ];
  new FaultPanel(announcer, () => store.flush());

  const render = once(() => {
    for (const view of views) view.render();
    showStorage(store.status);
  });
  store.subscribe(render);
  render();
  await store.onceLoaded();
  render();
}

async function openStore() {
  const concordia = await import("/concordia/index.js");
  await concordia.default();
  return createPeopleStore(concordia);
}

/** Runs the work at the end of the present task, however often it was asked for. */
function once(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      work();
    });
  };
}

function showStorage({ durable, storageError }) {
  const reason = storageError ? ` ${storageError.message}` : "";
  if (durable) notices.hide("storage");
  else
    notices.show(
      "storage",
      `This browser does not keep data now: what is not yet sent is lost with the page.${reason}`,
    );
}

start().catch((error) => {
  document.querySelector("#people").replaceChildren();
  document.querySelector("#people").removeAttribute("aria-busy");
  notices.show("start", `The page could not start. Reload it to try again. The reason: ${error.message}`, {
    kind: "error",
  });
  console.error(error);
});
