// Small conveniences. Every page works without them.

const menu = document.querySelector(".menu");
if (menu && matchMedia("(max-width: 820px)").matches) menu.open = false;

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

const theme = document.documentElement.dataset.theme ?? "";
for (const button of document.querySelectorAll("[data-theme-set]")) {
  button.setAttribute("aria-pressed", String(button.dataset.themeSet === theme));
  button.addEventListener("click", () => {
    const wanted = button.dataset.themeSet;
    document.cookie = `gainsight_destination_theme=${wanted}; path=/; max-age=${wanted ? 31536000 : 0}; samesite=lax`;
    location.reload();
  });
}

const units = [["d", 86400e3], ["h", 3600e3], ["min", 60e3], ["s", 1e3]];
function relative(at) {
  const distance = Date.now() - at;
  const [name, size] = units.find(([, size]) => Math.abs(distance) >= size) ?? ["", 0];
  if (!size) return "now";
  const text = `${Math.round(Math.abs(distance) / size)} ${name}`;
  return distance > 0 ? `${text} ago` : `in ${text}`;
}
setInterval(() => {
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = relative(Date.parse(time.dateTime));
}, 15000);

const first = document.querySelector("[data-first-event]");
if (first && first.querySelector("[data-waiting]")) {
  const look = async () => {
    const answer = await fetch(first.dataset.firstEvent).catch(() => null);
    const count = answer?.ok ? (await answer.json()).received : 0;
    if (count > 0) location.reload();
    else setTimeout(look, 1000);
  };
  setTimeout(look, 1000);
}

for (const reload of document.querySelectorAll("[data-reload]")) {
  setTimeout(() => location.reload(), Number(reload.dataset.reload));
}

const stream = document.querySelector("[data-stream]");
if (stream) {
  const rows = stream.querySelector("tbody");
  const pause = stream.querySelector("[data-pause]");
  const most = 200;
  let source = null;
  const open = () => {
    source = new EventSource(stream.dataset.stream);
    source.addEventListener("rows", (event) => {
      document.querySelector("[data-empty]")?.remove();
      rows.insertAdjacentHTML("afterbegin", event.data);
      while (rows.children.length > most) rows.lastElementChild.remove();
    });
    source.addEventListener("changed", (event) => {
      const holder = document.createElement("tbody");
      holder.innerHTML = event.data;
      for (const row of [...holder.children]) document.getElementById(row.id)?.replaceWith(row);
    });
  };
  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (source) { source.close(); source = null; } else open();
    pause.textContent = source ? "Pause" : "Go on";
    pause.setAttribute("aria-pressed", String(!source));
  });
  open();
}
