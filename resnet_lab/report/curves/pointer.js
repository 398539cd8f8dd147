// Reads the chart at the pointer, and zooms to the rectangle over which a mouse or pen is dragged. A finger only reads.

const LEAST_DRAG = 8;  // pixels

function followPointer(surface, getScene, read, zoomTo, reset) {
  let start = null;

  /** The panel under the pointer, and the pointer's place on the surface and in the panel. */
  function locate(event) {
    const { panels, size, beside } = getScene();
    const box = surface.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const index = within(Math.floor(beside ? x / size.width : y / size.height), 0, panels.length - 1);
    return { x, y, panel: panels[index], inX: x - panels[index].x, inY: y - panels[index].y };
  }

  /** The rectangle between the start of a drag and the pointer, in the panel's coordinates; full height if the drag is flat. */
  function rectangle(event) {
    const { frame } = getScene();
    const [x, y] = [event.clientX, event.clientY];
    const xs = [start.inX, start.inX + x - start.clientX].map((value) => within(value, LEFT, frame.right)).sort((one, other) => one - other);
    const isFlat = Math.abs(y - start.clientY) < 2 * LEAST_DRAG;
    const ys = isFlat ? [TOP, frame.bottom] : [start.inY, start.inY + y - start.clientY].map((value) => within(value, TOP, frame.bottom)).sort((one, other) => one - other);
    return { xs, ys, isFlat };
  }

  surface.addEventListener("pointerdown", (event) => {
    const place = locate(event);
    if (event.pointerType !== "touch" && event.button === 0) {
      start = { ...place, clientX: event.clientX, clientY: event.clientY };
      surface.setPointerCapture(event.pointerId);
    }
    read(getScene().frame.xAt(within(place.inX, LEFT, getScene().frame.right)), place);
  });

  surface.addEventListener("pointermove", (event) => {
    if (!start) {
      const place = locate(event);
      read(getScene().frame.xAt(within(place.inX, LEFT, getScene().frame.right)), place);
      return;
    }
    surface.querySelector(".selection")?.remove();
    const { xs, ys } = rectangle(event);
    if (xs[1] - xs[0] < LEAST_DRAG) return;
    read(null);
    start.panel.group.append(svg("rect", { class: "selection", x: xs[0], y: ys[0], width: xs[1] - xs[0], height: ys[1] - ys[0] }));
  });

  surface.addEventListener("pointerup", (event) => {
    if (!start) return;
    const { xs, ys, isFlat } = rectangle(event);
    const { frame } = getScene();
    surface.querySelector(".selection")?.remove();
    start = null;
    if (xs[1] - xs[0] >= LEAST_DRAG) zoomTo({ x: xs.map(frame.xAt), y: isFlat ? null : [frame.yAt(ys[1]), frame.yAt(ys[0])] });
  });

  surface.addEventListener("pointercancel", () => {
    start = null;
    surface.querySelector(".selection")?.remove();
  });
  surface.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && !start && read(null));
  surface.addEventListener("dblclick", reset);
}
