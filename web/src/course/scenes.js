// Every scene by its name in lessons.json: a function of the stage, its options, the words of the page and of the step.
import { curve, losses, saddle, sigmoidStage } from "./scenes/curves.js";
import { fit } from "./scenes/fit.js";
import { check, lines } from "./scenes/lines.js";
import { net } from "./scenes/net.js";
import { map, pulls, steps } from "./scenes/ways.js";

/** @type {Record<string, (stage: any, options: any, words: any, text: any) => any>} */
export const SCENES = { check, curve, fit, lines, losses, map, net, pulls, saddle, sigmoid: sigmoidStage, steps };
