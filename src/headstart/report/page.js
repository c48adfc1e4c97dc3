
// Press a heading: sort its table; press again: the other way round. Rows without a value stay last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const now = head.getAttribute("aria-sort");
    const way = now ? (now === "ascending" ? "descending" : "ascending") : head.dataset.first;
    const numeric = head.classList.contains("num");
    const at = head.cellIndex;
    const value = (row) => row.cells[at].dataset.value;
    const compare = (a, b) => (numeric ? a - b : a.localeCompare(b));
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return way === "ascending" ? compare(x, y) : compare(y, x);
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way);
    body.append(...rows);
  });
}
