// The report runs alone: in a sandbox, without the page's origin. Its own address lets its links
// to sections work, which they do not in a srcdoc.
let latest = "";
const show = async () => {
  const wanted = props.value || "";
  if (wanted === latest) return;
  latest = wanted;
  const frame = element.querySelector("iframe");
  if (!wanted) { frame.removeAttribute("src"); return; }
  const answer = await fetch(wanted);
  if (!answer.ok) { frame.removeAttribute("src"); return; }
  const text = await answer.text();
  if (wanted !== latest) return;
  const address = URL.createObjectURL(new Blob([text], { type: "text/html" }));
  frame.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  frame.src = `${address}#pictures`;
};
watch("value", show);
show();
