// Offer the other versions of this documentation, if the folder above it has a `versions.json`:
// a list of {"name", "version", "url"}. Otherwise nothing is shown.
document.addEventListener("DOMContentLoaded", async () => {
  const box = document.getElementById("versions");
  // A page opened as a file cannot read the folder above it.
  if (!box || !location.protocol.startsWith("http")) return;
  const root = new URL(box.dataset.root, document.baseURI);
  let listed;
  try {
    const answer = await fetch(new URL("../versions.json", root));
    if (!answer.ok) return;
    listed = await answer.json();
  } catch {
    return;
  }
  if (!Array.isArray(listed) || !listed.length) return;

  const folder = root.pathname.replace(/\/$/, "").split("/").pop();
  const urls = listed.map(({ url }) => new URL(url.replace(/\/?$/, "/"), root));
  const isHere = urls.map((url) => url.pathname.replace(/\/$/, "").split("/").pop() === folder);
  const here = isHere.includes(true)
    ? isHere.indexOf(true)
    : listed.findIndex(({ version }) => version === box.dataset.version);

  const choice = box.querySelector("select");
  listed.forEach(({ name }, at) => choice.add(new Option(name, at, false, at === here)));
  if (here < 0) choice.selectedIndex = -1;
  choice.addEventListener("change", async () => {
    const base = urls[choice.value];
    const same = new URL(box.dataset.page, base);
    let there = false;
    try {
      there = (await fetch(same, { method: "HEAD" })).ok;
    } catch {
      // Another host may not let itself be asked; its start page is there in any case.
    }
    location.assign(there ? same : base);
  });
  box.hidden = false;
});
