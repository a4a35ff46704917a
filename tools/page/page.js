// Sends images to the server that the page came from, and shows what it answers. Nothing else.

const get = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const TITLES = [["an image"], ["the first image", "the second image"]];
const HINTS = ["or paste it, or press to choose a file", "Drop, paste or choose another one"];
const BUSY = 503;
const NO_TOKEN = 401;

let models = [];
let limit = 0;
let chosen = 0;
let images = []; // One per slot; null where there is none yet.
let camera = null;
let asked = 0;
let running = null;
let token = ""; // Kept as long as the page is open, and nowhere else.

function setState(state, text) {
  document.body.dataset.state = state;
  get("status").textContent = text;
}

function fail(text) {
  get("error").textContent = text;
  get("error").hidden = false;
  get("answer").hidden = true; // It was of another image.
  setState("failed", "");
}

// --- What to ask -------------------------------------------------------------------------------

function fillChoices(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
}

function chooseTask() {
  const task = get("task").value;
  const rows = models.map((model, number) => [number, model]).filter(([, m]) => m.task === task);
  fillChoices(get("model"), rows.map(([number, model]) => [number, model.name]));
  chooseModel();
}

function chooseModel() {
  chosen = Number(get("model").value);
  const model = models[chosen];
  get("about").textContent = model.about;
  get("note").textContent = model.note;
  if (images.length !== model.images) makeSlots(model.images);
  get("answer").hidden = true;
  if (!camera) ask(); // The webcam's next frame asks by itself.
}

// --- Images ------------------------------------------------------------------------------------

function makeSlots(count) {
  images = Array.from({ length: count }, (_, slot) => images[slot] ?? null);
  get("slots").replaceChildren(
    ...images.map((image, slot) => {
      const part = get("slot").content.cloneNode(true);
      const label = part.querySelector(".drop");
      part.querySelector("input").addEventListener("change", (event) => {
        take(event.target.files, slot);
        event.target.value = ""; // The same file may be chosen again.
      });
      label.addEventListener("dragover", () => label.classList.add("over"));
      label.addEventListener("dragleave", () => label.classList.remove("over"));
      label.addEventListener("drop", (event) => {
        event.stopPropagation();
        event.preventDefault();
        label.classList.remove("over");
        take(event.dataTransfer.files, slot);
      });
      return part;
    }),
  );
  images.forEach((_, slot) => showSlot(slot));
  if (camera) showCamera();
}

function showSlot(slot) {
  const label = get("slots").children[slot];
  const [thumb, video] = label.querySelectorAll(".thumb");
  const image = images[slot];
  if (thumb.src) URL.revokeObjectURL(thumb.src);
  thumb.removeAttribute("src");
  thumb.hidden = !image;
  video.hidden = true;
  thumb.onerror = () => { thumb.hidden = true; }; // The server says what is wrong with it.
  if (image) thumb.src = URL.createObjectURL(image);
  label.classList.toggle("filled", Boolean(image));
  label.querySelector(".title").textContent =
    image?.name ?? `Drop ${TITLES[images.length - 1][slot]} here`;
  label.querySelector(".hint").textContent = HINTS[Number(Boolean(image))];
}

function take(files, slot) {
  if (!files.length) return;
  stopCamera();
  [...files].slice(0, images.length - slot).forEach((file, k) => {
    images[slot + k] = file;
    showSlot(slot + k);
  });
  ask();
}

function firstEmpty() {
  return Math.max(images.indexOf(null), 0);
}

// --- Webcam ------------------------------------------------------------------------------------

async function startCamera() {
  if (!navigator.mediaDevices) {
    fail("Browsers give pages the webcam at 127.0.0.1 or localhost only, or over https.");
    return;
  }
  get("error").hidden = true;
  get("webcam").disabled = true; // Until it is allowed: a second one would never be stopped.
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    fail(`The webcam cannot be used: ${error.message}`);
    return;
  } finally {
    get("webcam").disabled = false;
  }
  get("webcam").textContent = "Stop the webcam";
  get("webcam").setAttribute("aria-pressed", "true");
  get("said").removeAttribute("aria-live"); // Many answers a second are not to be read out.
  await showCamera();
  watch(camera);
}

async function showCamera() {
  const slot = images.length - 1; // Compared images: the webcam is the second one.
  images[slot] = null;
  showSlot(slot);
  const label = get("slots").children[slot];
  const video = label.querySelector("video");
  label.classList.add("filled");
  label.querySelector(".title").textContent = "Webcam";
  label.querySelector(".hint").textContent = "Drop or choose an image to end it";
  video.hidden = false;
  video.srcObject = camera;
  await video.play().catch(() => {}); // Another task was chosen meanwhile.
}

function stopCamera() {
  if (!camera) return;
  camera.getTracks().forEach((track) => track.stop());
  camera = null;
  images[images.length - 1] = null;
  showSlot(images.length - 1);
  get("webcam").textContent = "Use the webcam";
  get("webcam").setAttribute("aria-pressed", "false");
  get("said").setAttribute("aria-live", "polite");
  running?.abort();
  setState(get("answer").hidden ? "empty" : "answered", "");
}

async function watch(mine) {
  const canvas = document.createElement("canvas");
  while (camera === mine) {
    const slot = images.length - 1;
    const video = get("slots").children[slot].querySelector("video");
    if (video.videoWidth) {
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      const frame = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
      if (camera !== mine) return;
      images[slot] = frame;
      const status = await ask();
      if (status === BUSY) await pause(1000);
      else if (status) stopCamera(); // Of any other refusal there would be no end.
    }
    await pause(15); // And when the page is hidden browsers make this longer by themselves.
  }
}

// --- Asking ------------------------------------------------------------------------------------

// Sends the images; resolves to 0, or to the status of a refusal.
async function ask() {
  if (images.includes(null)) {
    setState("empty", images.length > 1 ? "Two images are compared." : "");
    return 0;
  }
  const number = ++asked;
  const live = Boolean(camera);
  running?.abort();
  running = new AbortController();
  get("error").hidden = true;
  if (!live) setState("busy", "Looking …");
  const size = images.reduce((sum, image) => sum + image.size, 0);
  if (size > limit) {
    fail(`That is ${(size / 1e6).toFixed(1)} MB; at most ${limit / 1e6} are taken.`);
    return 413;
  }
  const body = new FormData();
  for (const image of images) body.append("image", image);
  try {
    const response = await fetch(`v1/predict?model=${chosen}&draw=true`, {
      method: "POST",
      body,
      headers: credentials(),
      signal: running.signal,
    });
    const reply = await response.json();
    if (number !== asked) return 0;
    if (!response.ok) {
      fail(reply.error);
      return response.status;
    }
    show(reply);
    setState(live ? "live" : "answered", "");
    return 0;
  } catch (error) {
    if (number !== asked || error.name === "AbortError") return 0;
    fail(`No answer: ${error.message}. Is the service still running?`);
    return 1;
  }
}

// --- The answer --------------------------------------------------------------------------------

function show({ shown, sizes, milliseconds }) {
  get("drawing").src = shown.image;
  get("drawing").alt = `${shown.summary}, ${shown.detail}`;
  get("save").href = shown.image;
  get("size").textContent = sizes.map(([w, h]) => `${w} × ${h}`).join(" and ");
  get("summary").textContent = shown.summary;
  get("detail").textContent = shown.detail;
  showTimes(milliseconds);
  showTable(shown.columns, shown.rows);
  get("answer").hidden = false;
}

function showTimes(times) {
  const stages = Object.entries(times);
  const total = stages.reduce((sum, [, value]) => sum + value, 0);
  get("stages").replaceChildren(
    ...stages.map(([name, value]) => {
      const part = document.createElement("span");
      part.className = name;
      part.style.flexGrow = value;
      return part;
    }),
  );
  get("times").replaceChildren(
    ...[...stages, ["in all", total]].map(([name, value]) => {
      const part = document.createElement("div");
      const [title, number] = [document.createElement("dt"), document.createElement("dd")];
      if (name in times) part.className = name;
      title.textContent = name;
      number.textContent = `${value.toFixed(1)} ms`;
      part.append(title, number);
      return part;
    }),
  );
}

function showTable(columns, rows) {
  const head = document.createElement("thead").insertRow();
  for (const { title, kind } of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    if (kind !== "text") cell.className = "number";
    head.append(cell);
  }
  const body = document.createElement("tbody");
  const digits = columns.map((_, k) => (rows.some((row) => Math.abs(row[k]) >= 10) ? 0 : 2));
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, k) => line.append(makeCell(value, columns[k].kind, digits[k], k === 0)));
  }
  get("numbers").replaceChildren(head.parentElement, body);
  get("numbers").parentElement.hidden = !rows.length;
}

function makeCell(value, kind, digits, isFirst) {
  const cell = document.createElement(isFirst ? "th" : "td");
  if (isFirst) cell.scope = "row";
  if (kind === "text") {
    cell.textContent = value;
    return cell;
  }
  cell.className = "number";
  if (kind === "number") {
    cell.textContent = value.toFixed(digits);
    return cell;
  }
  cell.textContent = `${(100 * value).toFixed(1)}%`;
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.setProperty("--share", Math.min(Math.max(value, 0), 1));
  cell.append(bar);
  return cell;
}

// --- Start -------------------------------------------------------------------------------------

window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files, firstEmpty());
});
window.addEventListener("paste", (event) => take(event.clipboardData.files, firstEmpty()));
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stopCamera();
});
get("task").addEventListener("change", chooseTask);
get("model").addEventListener("change", chooseModel);
get("choice").addEventListener("submit", (event) => event.preventDefault());
get("webcam").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
get("said").setAttribute("aria-live", "polite");
get("where").textContent = LOOPBACK.includes(location.hostname)
  ? "Images go from this browser to this machine only. They are neither stored nor logged."
  : `Images are sent to ${location.host}, unencrypted. They are neither stored nor logged there.`;

function credentials() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function listModels() {
  get("error").hidden = true;
  try {
    const response = await fetch("v1/models", { headers: credentials() });
    get("entry").hidden = response.status !== NO_TOKEN;
    get("choice").hidden = get("image").hidden = !response.ok;
    const listed = await response.json();
    if (response.status === NO_TOKEN) {
      if (token) fail("The token is wrong.");
      return;
    }
    if (!response.ok) {
      fail(listed.error);
      return;
    }
    ({ models, bytes: limit } = listed);
    const tasks = [...new Set(models.map((model) => model.task))];
    fillChoices(get("task"), tasks.map((task) => [task, task]));
    chooseTask();
  } catch (error) {
    fail(`The models could not be listed: ${error.message}`);
  }
}

get("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  token = get("token").value.trim();
  listModels();
});
await listModels();
