// Search of pages opened from disk: browsers start no worker there, so a hidden frame is one.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = data => this.receive(data);
      inside.importScripts = (...urls) => urls.reduce(
        (before, each) => before.then(() => load(inside, each)), Promise.resolve());
      this.inside = inside;
      this.ready = load(inside, new URL(url, location.href).href);
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", {data})));
    }

    receive(data) {
      const event = new MessageEvent("message", {data});
      this.dispatchEvent(event);
      this.onmessage?.(event);
    }
  };

  const load = (where, url) => new Promise((done, failed) => {
    const script = where.document.createElement("script");
    script.src = url;
    script.onload = done;
    script.onerror = failed;
    where.document.body.append(script);
  });
}
