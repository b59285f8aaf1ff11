element.addEventListener("click", async (event) => {
  const button = event.target.closest(".eff-copy");
  if (!button) return;
  const code = element.querySelector("pre");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});
