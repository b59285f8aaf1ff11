"use strict";
(async () => {
  const root = document.documentElement;
  root.classList.replace("no-js", "js");
  const byId = (id) => document.getElementById(id);
  const make = (tag, name, text) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const unpack = async (text) => {
    const stream = new Blob([bytes(text)]).stream();
    const unpacked = stream.pipeThrough(new DecompressionStream("deflate"));
    return new Response(unpacked).json();
  };
  const data = await unpack(byId("data").textContent).catch((error) => {
    root.classList.replace("js", "no-js"); // an old browser shows the page as without scripts
    byId("too-old").hidden = false;
    throw error;
  });
  const { columns, images } = data;
  const grid = byId("grid");
  const bar = byId("bar");
  const rows = [...grid.querySelectorAll(".row")];
  const percent = (value) =>
    value === null ? "-" : `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`;
  const mean = (values) => {
    const known = values.filter((value) => value !== null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };

  // Heat: as in effcam.images.geometry.Box.spread and effcam.drawing.overlay.overlay.

  const maps = new Map();
  const mapOf = (cell) => {
    if (!maps.has(cell)) {
      const step = (cell.high - cell.low) / 255;
      maps.set(cell, Float64Array.from(bytes(cell.map), (level) => cell.low + step * level));
    }
    return maps.get(cell);
  };

  /** The cells around a place, its distance between their centres, and the share of heat that is left there. Lengths are relative. */
  const between = (place, start, stop, cells) => {
    const centre = ((place - start) / (stop - start)) * cells;
    const position = Math.min(Math.max(centre - 0.5, 0), cells - 1);
    const lower = Math.floor(position);
    const beyond = Math.max(-centre, centre - cells, 0);
    const left = Math.max(1 - beyond, 0);
    return [lower, Math.min(lower + 1, cells - 1), position - lower, left];
  };
  /** `between` for every pixel that the model saw, from `low` to `high`; null for the others. */
  const axis = (start, stop, cells, pixels, low, high) =>
    Array.from({ length: pixels }, (_, pixel) => {
      const place = (pixel + 0.5) / pixels;
      return place < low || place > high ? null : between(place, start, stop, cells);
    });

  /** The heat at a place, not scaled; null where the model did not see the photo. */
  const sample = (cell, x, y) => {
    const [left, top, right, bottom] = cell.region;
    if (cell.state !== "ok" || x < left || x > right || y < top || y > bottom) return null;
    const [height, width] = cell.shape;
    const across = between(x, cell.extent[0], cell.extent[2], width);
    const down = between(y, cell.extent[1], cell.extent[3], height);
    const map = mapOf(cell);
    const along = (row) =>
      map[row * width + across[0]] * (1 - across[2]) + map[row * width + across[1]] * across[2];
    return (along(down[0]) * (1 - down[2]) + along(down[1]) * down[2]) * across[3] * down[3];
  };

  /** The heat of every pixel as a level from 0 to 255, and the range of values from 0 to 255. */
  const spread = (cell, width, height) => {
    const [rowCount, columnCount] = cell.shape;
    const { extent, region } = cell;
    const across = axis(extent[0], extent[2], columnCount, width, region[0], region[2]);
    const down = axis(extent[1], extent[3], rowCount, height, region[1], region[3]);
    const map = mapOf(cell);
    const values = new Float32Array(width * height).fill(NaN);
    const line = new Float64Array(columnCount);
    let low = Infinity;
    let high = -Infinity;
    down.forEach((place, y) => {
      if (!place) return;
      const [upper, lower, fraction, left] = place;
      for (let at = 0; at < columnCount; at += 1) {
        line[at] =
          map[upper * columnCount + at] * (1 - fraction) + map[lower * columnCount + at] * fraction;
      }
      for (let x = 0; x < width; x += 1) {
        const spot = across[x];
        if (!spot) continue;
        const heat = line[spot[0]] * (1 - spot[2]) + line[spot[1]] * spot[2];
        const value = heat * spot[3] * left;
        values[y * width + x] = value;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    });
    const levels = new Uint8Array(width * height);
    if (high > low) {
      const scale = 255 / (high - low);
      for (let at = 0; at < values.length; at += 1) {
        const value = values[at];
        if (value === value) levels[at] = Math.round((value - low) * scale);
      }
    }
    return { levels, low, high };
  };

  const tables = new Map();
  /** The colour and opacity of each level, as the bytes of a pixel. */
  const tableOf = (name) => {
    if (!tables.has(name)) {
      const colours = bytes(data.colormaps[name]);
      const pixels = new Uint8ClampedArray(1024);
      for (let level = 0; level < 256; level += 1) {
        const t = Math.min(level / 255 / data.full, 1);
        pixels.set(colours.subarray(3 * level, 3 * level + 3), 4 * level);
        pixels[4 * level + 3] = Math.round(255 * t * t * (3 - 2 * t));
      }
      tables.set(name, new Uint32Array(pixels.buffer));
    }
    return tables.get(name);
  };

  const colour = (canvas) => {
    const table = tableOf(state.map);
    const { levels, width, height } = canvas.heat;
    const picture = new ImageData(width, height);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let at = 0; at < levels.length; at += 1) pixels[at] = table[levels[at]];
    canvas.getContext("2d").putImageData(picture, 0, 0);
    canvas.dataset.map = state.map;
  };

  const heatCanvas = (cell, width, height) => {
    const canvas = make("canvas", "heat");
    canvas.width = width;
    canvas.height = height;
    canvas.heat = { ...spread(cell, width, height), width, height };
    colour(canvas);
    return canvas;
  };

  // Photos: as in effcam.drawing.overlay.shade_outside and badge.

  /** A photo's own pixels, and grey ones; read once for all cells of an image. */
  const pixelsOf = (photo) => {
    const canvas = make("canvas");
    canvas.width = photo.naturalWidth;
    canvas.height = photo.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(photo, 0, 0);
    const plain = context.getImageData(0, 0, canvas.width, canvas.height);
    const dim = new Uint8ClampedArray(plain.data.length);
    for (let at = 0; at < dim.length; at += 4) {
      const [red, green, blue] = plain.data.subarray(at, at + 3);
      const grey = Math.round(40 + 0.36 * ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16));
      dim[at] = dim[at + 1] = dim[at + 2] = grey;
      dim[at + 3] = 255;
    }
    return { plain, dim };
  };

  const photoCanvas = (cell, { plain, dim }) => {
    const { width, height } = plain;
    const picture = new ImageData(new Uint8ClampedArray(cell.state === "ok" ? plain.data : dim), width, height);
    const clamp = (edge, size) => Math.min(Math.max(Math.round(edge * size), 0), size);
    const [left, right] = [0, 2].map((edge) => clamp(cell.region[edge], width));
    const [top, bottom] = [1, 3].map((edge) => clamp(cell.region[edge], height));
    const period = Math.max(6, Math.min(width, height) / 26);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if (x >= left && x < right && y >= top && y < bottom) {
          x = right - 1;
          continue;
        }
        const at = 4 * (y * width + x);
        const onEdge =
          x >= left - 1 && x <= right && y >= top - 1 && y <= bottom &&
          (x === left - 1 || x === right || y === top - 1 || y === bottom);
        const distance = Math.abs(((x + y) % period) - period / 2) / Math.SQRT2;
        const stripe = (Math.min(Math.max(0.5 + period / 12 - distance, 0), 1) * 70) / 255;
        const value = onEdge ? 235 : dim[at] + (210 - dim[at]) * stripe;
        picture.data.fill(value, at, at + 3);
      }
    }
    const canvas = make("canvas", "base");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  };

  const decoded = async (photo) => {
    if (!photo.complete || !photo.naturalWidth) await photo.decode();
    return photo;
  };

  // Drawing: only rows near the window are drawn.

  const drawn = new Map();
  const shownCells = () => columns.map((_, at) => at).filter((at) => !state.hide.has(at));
  const picsOf = (row) => [...row.querySelectorAll(".pic")];

  const drawRow = async (at, scale = 1) => {
    const row = rows[at];
    const token = {};
    drawn.set(at, token);
    const [photo, ...pics] = picsOf(row);
    const image = photo.querySelector("img");
    await decoded(image);
    if (drawn.get(at) !== token) return;
    const pixels = pixelsOf(image);
    const size = images[at].photo.map((side) => Math.max(1, Math.round(side * scale)));
    for (const column of shownCells()) {
      const pic = pics[column];
      if (pic.querySelector("canvas")) continue;
      const cell = images[at].cells[column];
      const parts = [photoCanvas(cell, pixels)];
      if (cell.state === "ok") parts.push(heatCanvas(cell, ...size));
      pic.prepend(...parts);
    }
    if (!performance.getEntriesByName("first-row").length) performance.mark("first-row");
  };

  const clearRow = (at) => {
    drawn.delete(at);
    for (const canvas of rows[at].querySelectorAll("canvas")) {
      canvas.width = 0;
      canvas.remove();
    }
  };

  const waiting = new Set();
  let busy = false;
  const work = async () => {
    if (busy) return;
    busy = true;
    while (waiting.size) {
      await new Promise(requestAnimationFrame);
      const until = performance.now() + 12;
      for (const at of waiting) {
        waiting.delete(at);
        await drawRow(at);
        if (performance.now() > until) break;
      }
    }
    busy = false;
  };

  const watcher = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const at = Number(target.dataset.at);
        if (isIntersecting && !drawn.has(at)) waiting.add(at);
        if (!isIntersecting) {
          waiting.delete(at);
          if (drawn.has(at)) clearRow(at);
        }
      }
      work();
    },
    { rootMargin: "400px 0px" },
  );

  const recolour = () => {
    for (const canvas of document.querySelectorAll("canvas.heat")) {
      if (canvas.dataset.map !== state.map) colour(canvas);
    }
    const context = byId("ramp").getContext("2d");
    const picture = context.createImageData(256, 1);
    const colours = bytes(data.colormaps[state.map]);
    for (let level = 0; level < 256; level += 1) {
      picture.data.set([...colours.subarray(3 * level, 3 * level + 3), 255], 4 * level);
    }
    context.putImageData(picture, 0, 0);
  };

  // Examples of confused classes: small cells that open their image.

  const drawExample = async (link) => {
    const { image, column } = link.dataset;
    const cell = images[image].cells[column];
    const photo = await decoded(picsOf(rows[image])[0].querySelector("img"));
    const [width, height] = images[image].photo;
    const pic = make("span", "pic");
    pic.style.setProperty("--ratio", width / height);
    pic.append(photoCanvas(cell, pixelsOf(photo)));
    if (cell.state === "ok") pic.append(heatCanvas(cell, width, height));
    link.prepend(pic);
    link.classList.add("drawn");
  };
  let opener = null; // the example whose image is enlarged
  const examples = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        examples.unobserve(target);
        drawExample(target);
      }
    },
    { rootMargin: "200px 0px" },
  );
  for (const link of document.querySelectorAll(".example")) {
    examples.observe(link);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const at = Number(link.dataset.image);
      if (!order.includes(at)) {
        state = { ...initial(), theme: state.theme };
        apply();
      }
      opener = link;
      open(at);
    });
  }

  // Filters and order of the images.

  const initial = () => ({
    sort: "given", down: false, find: "", mistakes: false, disagreements: false, flag: "",
    hide: new Set(), alpha: Math.round(100 * data.alpha), map: data.colormap, heat: true, theme: "",
  });
  let state = initial();
  let order = images.map((_, at) => at);

  const pairAt = (one, other) => {
    // The upper triangle of a matrix, row by row.
    const before = one * columns.length - (one * (one + 1)) / 2;
    return before + other - one - 1;
  };
  const keys = {
    given: (_, at) => at,
    disagreement: (image) => {
      const shown = shownCells();
      const pairs = shown.flatMap((one, place) =>
        shown.slice(place + 1).map((other) => image.pairs[pairAt(one, other)]),
      );
      const agreed = mean(pairs);
      return agreed === null ? null : 1 - agreed;
    },
    confidence: (image) => mean(shownCells().map((at) => image.cells[at].predicted[2])),
    focus: (image) => mean(shownCells().map((at) => image.cells[at].focus)),
    correctness: (image) =>
      mean(shownCells().map((at) => (image.cells[at].right === null ? null : Number(image.cells[at].right)))),
  };

  const texts = images.map((image) =>
    [image.name, image.truth ?? "", ...image.cells.flatMap((cell) => [cell.predicted[1], cell.explained[0]])]
      .join("\n")
      .toLowerCase(),
  );
  const keeps = (image, at) => {
    const cells = shownCells().map((column) => image.cells[column]);
    return (
      texts[at].includes(state.find.trim().toLowerCase()) &&
      (!state.mistakes || cells.some((cell) => cell.right === false)) &&
      (!state.disagreements || new Set(cells.map((cell) => cell.kind)).size > 1) &&
      (!state.flag ||
        cells.some((cell) => (state.flag === "any" ? cell.flags.length : cell.flags.includes(state.flag))))
    );
  };

  const arrange = () => {
    const values = images.map(keys[state.sort]);
    const sign = state.down ? -1 : 1;
    const place = (one, other) => {
      if (values[one] === null || values[other] === null) {
        return (values[one] === null) - (values[other] === null) || one - other;
      }
      return sign * (values[one] - values[other]) || one - other;
    };
    const before = order.join();
    const sorted = images.map((_, at) => at).sort(place);
    order = sorted.filter((at) => keeps(images[at], at));
    const kept = new Set(order);
    const nodes = sorted.map((at) => rows[at]);
    if (nodes.some((node, at) => grid.children[at + 1] !== node)) {
      const focused = document.activeElement;
      grid.append(...nodes);
      if (grid.contains(focused)) focused.focus({ preventScroll: true });
    }
    rows.forEach((row, at) => {
      row.hidden = !kept.has(at);
    });
    byId("none").hidden = order.length > 0;
    if (order.join() !== before && grid.getBoundingClientRect().top < 0) {
      // What comes first now would lie above the window.
      byId("pictures").scrollIntoView({ behavior: "instant" });
    }
    byId("count").textContent = `${order.length} of ${images.length} images shown`;
  };

  const arrangeColumns = () => {
    const shown = shownCells();
    columns.forEach((_, at) => grid.classList.toggle(`hide-${at}`, state.hide.has(at)));
    grid.style.setProperty("--n", shown.length + 1);
    const label = byId("hidden-count");
    if (label) label.textContent = state.hide.size ? `${shown.length} of ${columns.length}` : "";
    for (const at of drawn.keys()) waiting.add(at);
    work();
    layout();
  };

  const layout = () => {
    const style = getComputedStyle(grid);
    const room = grid.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    grid.classList.toggle("wide-grid", room / (shownCells().length + 1) >= 128);
    root.style.setProperty("--bar", `${bar.offsetHeight}px`);
  };

  // The view is kept in the address, and comes from there.

  const write = () => {
    const found = new URLSearchParams();
    const plain = initial();
    for (const name of ["sort", "find", "flag", "alpha", "map", "theme"]) {
      if (state[name] !== plain[name]) found.set(name, state[name]);
    }
    for (const name of ["down", "mistakes", "disagreements"]) if (state[name]) found.set(name, "1");
    if (!state.heat) found.set("heat", "0");
    if (state.hide.size) found.set("hide", [...state.hide].sort((a, b) => a - b).join(","));
    const text = found.toString();
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : "#");
  };

  const read = () => {
    const text = location.hash.slice(1);
    // An anchor, such as #figures, does not describe the view.
    if (text && !text.includes("=")) return false;
    const found = new URLSearchParams(text);
    const next = initial();
    const choose = (name, known) => {
      if (known.includes(found.get(name))) next[name] = found.get(name);
    };
    choose("sort", [...byId("sort").options].map((option) => option.value));
    choose("map", Object.keys(data.colormaps));
    choose("theme", ["light", "dark"]);
    if (byId("flag")) choose("flag", [...byId("flag").options].map((option) => option.value));
    if (byId("mistakes")) next.mistakes = found.get("mistakes") === "1";
    if (byId("disagreements")) next.disagreements = found.get("disagreements") === "1";
    next.find = found.get("find") ?? "";
    next.down = found.get("down") === "1";
    next.heat = found.get("heat") !== "0";
    const alpha = Number(found.get("alpha") ?? next.alpha);
    if (alpha >= 0 && alpha <= 100) next.alpha = Math.round(alpha);
    const hide = (found.get("hide") ?? "").split(",").filter(Boolean).map(Number);
    if (hide.length < columns.length && hide.every((at) => at in columns)) next.hide = new Set(hide);
    state = next;
    return true;
  };

  const fill = () => {
    for (const name of ["sort", "find", "flag", "alpha", "map"]) {
      if (byId(name)) byId(name).value = state[name];
    }
    for (const name of ["mistakes", "disagreements", "heat"]) {
      if (byId(name)) byId(name).checked = state[name];
    }
    const boxes = [...bar.querySelectorAll(".column")];
    for (const box of boxes) {
      box.checked = !state.hide.has(Number(box.value));
      // The last visible column cannot be hidden.
      box.disabled = box.checked && state.hide.size === columns.length - 1;
    }
    byId("alpha-text").textContent = `${state.alpha} %`;
    byId("down").setAttribute("aria-pressed", String(state.down));
    byId("down").textContent = state.down ? "↓" : "↑";
    const theme = byId("theme");
    if (state.theme) root.dataset.theme = state.theme;
    else delete root.dataset.theme;
    const text = { "": "as the system", light: "light", dark: "dark" }[state.theme];
    theme.setAttribute("aria-label", `Colours of the page: ${text}`);
    theme.textContent = { "": "◐", light: "○", dark: "●" }[state.theme];
    theme.title = `Light or dark: ${text}`;
  };

  const applyHeat = () => {
    root.style.setProperty("--alpha", state.alpha / 100);
    root.classList.toggle("cold", !state.heat);
  };

  const apply = () => {
    fill();
    applyHeat();
    recolour();
    arrangeColumns();
    arrange();
    write();
  };

  let planned = 0;
  const change = (what) => {
    Object.assign(state, what);
    cancelAnimationFrame(planned);
    planned = requestAnimationFrame(apply);
  };

  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.addEventListener("input", ({ target }) => {
    if (target.classList.contains("column")) {
      const hide = new Set(state.hide);
      hide[target.checked ? "delete" : "add"](Number(target.value));
      change({ hide });
    } else if (target.id === "alpha") {
      change({ alpha: Number(target.value) });
    } else if (target.id in state) {
      change({ [target.id]: target.type === "checkbox" ? target.checked : target.value });
    }
  });
  byId("down").addEventListener("click", () => change({ down: !state.down }));
  const reset = () => change({ ...initial(), theme: state.theme });
  bar.addEventListener("reset", (event) => {
    event.preventDefault();
    reset();
  });
  byId("again").addEventListener("click", reset);
  byId("theme").addEventListener("click", () => {
    const themes = ["", "light", "dark"];
    change({ theme: themes[(themes.indexOf(state.theme) + 1) % themes.length] });
  });
  byId("more").addEventListener("click", () => {
    const open = bar.classList.toggle("expanded");
    byId("more").setAttribute("aria-expanded", String(open));
    byId("more").textContent = open ? "Less" : "More";
    layout();
  });
  document.addEventListener("click", ({ target }) => {
    for (const menu of document.querySelectorAll(".menu[open]")) {
      if (!menu.contains(target)) menu.open = false;
    }
  });
  bar.addEventListener("keydown", ({ key, target }) => {
    const menu = key === "Escape" && target.closest(".menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  window.addEventListener("hashchange", () => {
    if (read()) apply();
  });

  // The heat at a point.

  const readout = byId("readout");
  const announcement = byId("announcement");
  const asText = (value) => (Math.abs(value) >= 0.001 && Math.abs(value) < 10000 ? value.toPrecision(4) : value.toExponential(2));
  const FLAGS = {
    flat: "no positive evidence", nan: "not a number", padding: "heat on padding",
    border: "peaks at the border",
  };

  /** The heat of a cell at a place of its photo: as a share of its own range, and not scaled. */
  const heatAt = (at, column, x, y) => {
    const image = images[at];
    const cell = image.cells[column];
    const pixel = (place, size) => (Math.min(Math.floor(place * size), size - 1) + 0.5) / size;
    const raw = sample(cell, pixel(x, image.size[0]), pixel(y, image.size[1]));
    if (raw === null) return null;
    if (!cell.range) cell.range = spread(cell, ...image.photo);
    const { low, high } = cell.range;
    return { raw, share: high > low ? Math.min(Math.max((raw - low) / (high - low), 0), 1) : 0 };
  };
  const heatText = (at, column, x, y) => {
    const cell = images[at].cells[column];
    const found = heatAt(at, column, x, y);
    if (found) return `${found.share.toFixed(2)} (${asText(found.raw)})`;
    return cell.state === "ok" ? "not seen by the model" : FLAGS[cell.state];
  };
  const cellLines = (at, column) => {
    const cell = images[at].cells[column];
    const { layer, method } = columns[column];
    const lines = [cell.prediction];
    if (cell.right !== null) lines[0] += cell.right ? ", which is right" : ", which is wrong";
    if (cell.explained[1]) lines.push(cell.explained[1]);
    lines.push(`${method} at ${layer}, ${cell.shape.join(" x ")}`);
    if (cell.focus !== null) lines.push(`effective area ${percent(cell.focus)}`);
    if (cell.flags.length) lines.push(cell.flags.map((flag) => FLAGS[flag] ?? flag).join("; "));
    return lines;
  };

  const peakOf = (at, column) => {
    const cell = images[at].cells[column];
    if (cell.state !== "ok") return [0.5, 0.5];
    const [width, height] = images[at].photo;
    const { levels } = spread(cell, width, height);
    let best = 0;
    for (let place = 0; place < levels.length; place += 1) if (levels[place] > levels[best]) best = place;
    return [((best % width) + 0.5) / width, (Math.floor(best / width) + 0.5) / height];
  };

  const clearPoints = (within) => within.querySelectorAll(".point").forEach((point) => point.remove());
  const putPoints = (within, x, y) => {
    for (const pic of within.querySelectorAll(".pic")) {
      let point = pic.querySelector(".point");
      if (!point) pic.append((point = make("i", "point")));
      point.style.left = `${100 * x}%`;
      point.style.top = `${100 * y}%`;
    }
  };
  const placeOf = (event, pic) => {
    const box = pic.getBoundingClientRect();
    const within = (value) => Math.min(Math.max(value, 0), 0.999999);
    return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  };
  const columnOf = (cell) => Number([...cell.classList].find((name) => /^c\d+$/.test(name))?.slice(1) ?? NaN);

  const showReadout = (row, column, x, y, left, top) => {
    const at = Number(row.dataset.at);
    putPoints(row, x, y);
    const lines = Number.isNaN(column)
      ? shownCells().map((each) => make("span", "", `${columns[each].label}: ${heatText(at, each, x, y)}`))
      : cellLines(at, column).map((line) => make("span", "", line));
    const head = Number.isNaN(column)
      ? images[at].name
      : `${columns[column].label}: heat ${heatText(at, column, x, y)}`;
    readout.replaceChildren(make("b", "", head), ...lines);
    readout.hidden = false;
    const { offsetWidth, offsetHeight } = readout;
    const over = top + 18 + offsetHeight > innerHeight;
    readout.style.left = `${Math.max(4, Math.min(left + 16, innerWidth - offsetWidth - 6))}px`;
    readout.style.top = `${Math.max(4, over ? top - offsetHeight - 14 : top + 18)}px`;
  };
  const hideReadout = () => {
    if (readout.hidden) return;
    readout.hidden = true;
    clearPoints(grid);
  };

  grid.addEventListener("pointermove", (event) => {
    const pic = event.pointerType === "mouse" && event.target.closest(".row .pic");
    if (!pic) {
      hideReadout();
      return;
    }
    const row = pic.closest(".row");
    if (hovered !== row) hideReadout();
    hovered = row;
    showReadout(row, columnOf(pic.parentNode), ...placeOf(event, pic), event.clientX, event.clientY);
  });
  let hovered = null;
  grid.addEventListener("pointerleave", hideReadout);
  window.addEventListener("scroll", hideReadout, { passive: true });

  // Keyboard: move from cell to cell, and move the point within a cell.

  let point = [0.5, 0.5];
  const readFocused = (cell) => {
    const row = cell.closest(".row");
    const column = columnOf(cell);
    const box = cell.querySelector(".pic").getBoundingClientRect();
    showReadout(row, column, ...point, box.left + point[0] * box.width, box.top + point[1] * box.height);
    const at = Number(row.dataset.at);
    announcement.textContent = `${columns[column].label}: heat ${heatText(at, column, ...point)}; ${cellLines(at, column).join("; ")}`;
  };
  grid.addEventListener("focusin", ({ target }) => {
    if (!target.classList.contains("cell")) return hideReadout();
    point = peakOf(Number(target.closest(".row").dataset.at), columnOf(target));
    readFocused(target);
  });
  grid.addEventListener("focusout", hideReadout);

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  grid.addEventListener("keydown", (event) => {
    const row = event.target.closest(".row");
    if (!row || event.ctrlKey || event.altKey || event.metaKey) return;
    const cell = event.target.closest(".cell");
    const column = columnOf(cell);
    if (event.key === "Enter" && event.target === cell) {
      event.preventDefault();
      open(Number(row.dataset.at));
      return;
    }
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    if (event.shiftKey && !Number.isNaN(column)) {
      point = point.map((value, way) => Math.min(Math.max(value + step[way] * 0.04, 0), 0.999));
      readFocused(cell);
      return;
    }
    const stops = [NaN, ...shownCells()];
    const across = stops.findIndex((each) => Object.is(each, column)) + step[0];
    const down = order.indexOf(Number(row.dataset.at)) + step[1];
    if (!(across in stops) || !(down in order)) return;
    const target = rows[order[down]];
    const next = across ? target.querySelector(`.c${stops[across]}`) : target.querySelector(".open");
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    if (across) readFocused(next);
  });

  // One image, enlarged.

  const large = byId("large");
  let current = 0;
  const largePic = (pixels, cell, size) => {
    const pic = make("div", "pic");
    pic.style.setProperty("--ratio", size[0] / size[1]);
    const base = photoCanvas(cell, pixels);
    pic.append(base);
    if (cell.state === "ok" && cell.map) {
      const scale = Math.min(3, Math.max(1, 640 / Math.max(...size)));
      pic.append(heatCanvas(cell, Math.round(size[0] * scale), Math.round(size[1] * scale)));
    } else if (cell.state !== "ok") {
      pic.append(make("span", "badge", FLAGS[cell.state]));
    }
    return pic;
  };

  /** Choose the number of columns with which the pictures are largest while all are visible. */
  const fit = () => {
    const cells = byId("large-cells");
    const count = cells.children.length;
    if (!count) return;
    const [width, height] = images[current].photo;
    const caption = Math.max(...[...cells.querySelectorAll("figcaption")].map((each) => each.offsetHeight));
    // On a phone one below the other; elsewhere scroll rather than become too small.
    const narrow = large.clientWidth < 600;
    let best = [narrow ? large.clientWidth - 32 : 0, 1];
    for (let across = 1; !narrow && across <= count; across += 1) {
      const down = Math.ceil(count / across);
      const wide = large.clientWidth / across - 18;
      const tall = (large.clientHeight - 90) / down - caption - 24;
      const side = Math.min(wide, Math.max((tall * width) / height, Math.min(wide, 220)));
      if (side > best[0] + 1) best = [side, across];
    }
    cells.style.setProperty("--across", best[1]);
    cells.style.setProperty("--side", `${best[0]}px`);
  };
  new ResizeObserver(fit).observe(large);

  const showLarge = async (at) => {
    current = at;
    const image = images[at];
    const photo = await decoded(rows[at].querySelector("img"));
    if (current !== at) return;
    const pixels = pixelsOf(photo);
    const whole = { state: "ok", map: null, region: [0, 0, 1, 1] };
    const figures = [make("figure", "original")];
    figures[0].append(largePic(pixels, whole, image.photo));
    for (const [left, top, right, bottom] of image.boxes) {
      const box = make("i", "box");
      Object.assign(box.style, {
        left: `${100 * left}%`, top: `${100 * top}%`,
        width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`,
      });
      figures[0].firstChild.append(box);
    }
    const about = make("figcaption");
    about.append(make("b", "", "Original"), make("span", "muted block", `${image.size.join(" x ")} px`));
    if (image.truth !== null) about.append(make("span", "block", `is ${image.truth}`));
    figures[0].append(about);
    for (const column of shownCells()) {
      const cell = image.cells[column];
      const figure = make("figure");
      figure.dataset.column = column;
      const caption = make("figcaption");
      caption.append(make("b", "", columns[column].label), make("span", "here block"));
      for (const line of cellLines(at, column)) caption.append(make("span", "block", line));
      figure.append(largePic(pixels, cell, image.photo), caption);
      figures.push(figure);
    }
    byId("large-cells").replaceChildren(...figures);
    fit();
    byId("large-title").firstChild.textContent = image.name;
    const place = order.indexOf(at);
    byId("large-place").textContent = `${place + 1} of ${order.length}`;
    // A disabled button would lose the focus, and arrow keys would stop working.
    byId("previous").setAttribute("aria-disabled", String(place <= 0));
    byId("next").setAttribute("aria-disabled", String(place >= order.length - 1));
    large.dataset.at = at;
  };
  const open = (at) => {
    hideReadout();
    showLarge(at);
    if (!large.open) large.showModal();
    large.scrollTop = 0;
  };
  const turn = (step) => {
    const next = order[order.indexOf(current) + step];
    if (next !== undefined) showLarge(next);
  };
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("close").addEventListener("click", () => large.close());
  large.addEventListener("click", ({ target }) => {
    if (target === large) large.close();
  });
  large.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
    else return;
    event.preventDefault();
  });
  large.addEventListener("close", () => {
    byId("large-cells").replaceChildren();
    if (opener) {
      opener.focus({ preventScroll: true });
      opener = null;
      return;
    }
    const button = rows[current].querySelector(".open");
    button.focus({ preventScroll: true });
    rows[current].scrollIntoView({ block: "nearest" });
  });
  byId("large-cells").addEventListener("pointermove", (event) => {
    const pic = event.target.closest(".pic");
    if (!pic) return;
    const [x, y] = placeOf(event, pic);
    putPoints(byId("large-cells"), x, y);
    for (const figure of byId("large-cells").querySelectorAll("[data-column]")) {
      figure.querySelector(".here").textContent = `heat here ${heatText(current, Number(figure.dataset.column), x, y)}`;
    }
  });

  grid.addEventListener("click", ({ target }) => {
    if (target.closest(".open, .pic")) open(Number(target.closest(".row").dataset.at));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "h" || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.matches("input:not([type=checkbox], [type=range]), select, textarea")) return;
    change({ heat: !state.heat });
  });

  // Copying, and printing.

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.closest(".call").querySelector("code");
      let done = false;
      try {
        await navigator.clipboard.writeText(code.textContent);
        done = true;
      } catch {
        // A page opened from a file may not use the clipboard; it can copy a selection.
        getSelection().selectAllChildren(code);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl-C";
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
  }
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("section > details:not([open])")];
    for (const each of closed) each.open = true;
    // Draw many rows smaller, so that all fit into memory.
    const scale = order.length > 60 ? 0.4 : 1;
    for (const at of order) if (!drawn.has(at)) drawRow(at, scale);
  });
  window.addEventListener("afterprint", () => {
    for (const each of closed) each.open = false;
  });

  // On a narrow screen the figures would fill the first two screens: they are closed at first.

  const reveal = () => {
    const section = /^#[a-z]+$/.test(location.hash) && document.querySelector(location.hash);
    const details = section && section.querySelector(":scope > details");
    if (details) details.open = true;
  };
  if (matchMedia("(max-width: 900px)").matches) byId("overview").querySelector("details").open = false;
  reveal();
  window.addEventListener("hashchange", reveal);
  document.querySelector(".top nav").addEventListener("click", ({ target }) => {
    // A second click on the same link changes no address.
    if (target.hash && target.hash === location.hash) reveal();
  });

  // Start.

  const known = new Map();
  for (const image of images) {
    for (const name of [image.truth, ...image.cells.map((cell) => cell.predicted[1])]) {
      if (name !== null) known.set(name, (known.get(name) ?? 0) + 1);
    }
  }
  const listed = [...known].sort((one, other) => other[1] - one[1]).slice(0, 200);
  byId("labels").append(...listed.map(([name]) => Object.assign(make("option"), { value: name })));
  rows.forEach((row, at) => {
    row.dataset.at = at;
    row.style.setProperty("--ratio", images[at].photo[0] / images[at].photo[1]);
    for (const cell of row.querySelectorAll("[role=gridcell]")) cell.tabIndex = -1;
  });
  new ResizeObserver(layout).observe(bar);
  new ResizeObserver(layout).observe(grid);
  read();
  apply();
  rows.forEach((row) => watcher.observe(row));
})();
