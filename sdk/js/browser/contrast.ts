/** How readable text is: the contrast of each text of a page against what is behind it. */

/** What was measured: how many texts, and those that are too faint. */
export interface Contrasts {
  texts: number;
  low: string[];
}

/**
 * A page's code that measures every text that can be seen, by the formula of WCAG 2.2, and answers
 * how many there were and those below `least`. Backgrounds are plain colours here, and the map's
 * texts have an outline in the colour that is measured against.
 */
export const lowContrast = (least: number): string => `(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (text) => {
    const [red, green, blue] = channels(text).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const isClear = (text) => channels(text)[3] === 0;
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (!isClear(backgroundColor)) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const found = { texts: 0, low: [] };
  for (const element of document.querySelectorAll("body *")) {
    const isField = element instanceof HTMLInputElement;
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = isField ? element.value : own.map((node) => node.data).join("").trim();
    if (!text || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const isDrawn = element instanceof SVGElement;
    const pair = isDrawn ? [style.fill, style.stroke] : [style.color, behind(element)];
    const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    found.texts++;
    if (!(ratio >= ${least})) {
      const name = element.id || element.className.baseVal || element.className || element.tagName;
      found.low.push(name + " “" + text.slice(0, 20) + "” " + pair + " " + ratio.toFixed(2));
    }
  }
  return found;
})()`;
