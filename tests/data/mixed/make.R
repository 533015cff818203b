# The data sets and the estimates of lme4 that tests/inference/test_mixed*.py compare newtron with:
#     Rscript make.R FOLDER
# Estimates are refined to the last digits that optimisation reaches, beyond lme4's default tolerances.
library(lme4)
library(mlmRev)
folder <- commandArgs(trailingOnly = TRUE)[1]
number <- function(x) format(x, digits = 15, trim = TRUE)
lines <- c("set,method,quantity,name,value")
add <- function(set, method, quantity, name, value)
  lines <<- c(lines, paste(set, method, quantity, name, number(value), sep = ","))
linear <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e6), calc.derivs = FALSE)
general <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e6), tolPwrss = 1e-14)
report <- function(set, method, fit) {
  b <- fixef(fit)
  se <- sqrt(diag(as.matrix(vcov(fit))))
  for (i in seq_along(b)) {
    add(set, method, "estimate", names(b)[i], b[i])
    add(set, method, "error", names(b)[i], se[i])
  }
  v <- as.data.frame(VarCorr(fit))
  for (i in seq_len(nrow(v))) add(set, method, "sd", v$grp[i], v$sdcor[i])
  add(set, method, "log_likelihood", "", as.numeric(logLik(fit)))
  add(set, method, "aic", "", AIC(fit))
  add(set, method, "bic", "", BIC(fit))
  modes <- ranef(fit, condVar = TRUE)
  for (g in names(modes)) {
    level <- rownames(modes[[g]])[1]
    add(set, method, paste0("mode of ", g), level, modes[[g]][1, 1])
    add(set, method, paste0("mode error of ", g), level, sqrt(attr(modes[[g]], "postVar")[1, 1, 1]))
  }
}
save <- function(name, data) write.csv(data, file.path(folder, paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
both <- function(set, formula, data) {
  data$w <- if (is.null(data$w)) 1 else data$w
  environment(formula) <- environment()
  report(set, "reml", lmer(formula, data, control = linear, weights = w))
  report(set, "ml", lmer(formula, data, REML = FALSE, control = linear, weights = w))
}
save("dyestuff", Dyestuff); save("dyestuff2", Dyestuff2); save("penicillin", Penicillin); save("pastes", Pastes)
save("cbpp", cbpp); save("../../../examples/sleepstudy", sleepstudy)
both("dyestuff", Yield ~ 1 + (1 | Batch), Dyestuff)
both("dyestuff2", Yield ~ 1 + (1 | Batch), Dyestuff2)
both("penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin)
both("pastes", strength ~ 1 + (1 | batch) + (1 | sample), Pastes)
both("sleepstudy", Reaction ~ Days + (1 | Subject), sleepstudy)
sleepstudy$w <- 1 + (seq_len(nrow(sleepstudy)) - 1) %% 3
both("sleepstudy weighted", Reaction ~ Days + (1 | Subject), sleepstudy)
report("cbpp", "ml", glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial, control = general))
c5 <- Contraception; c5$use <- as.integer(c5$use == "Y"); c5$urban <- as.integer(c5$urban == "Y")
c5$decades <- c5$age / 10
c5$children <- as.integer(c5$livch != "0")
save("contraception", c5[, c("use", "district", "decades", "urban", "children")])
report("contraception", "ml", glmer(use ~ decades + I(decades^2) + urban + children + (1 | district), c5, binomial, control = general))
ticks <- grouseticks; ticks$height <- (ticks$HEIGHT - 462.0) / 100
save("grouseticks", ticks[, c("TICKS", "BROOD", "LOCATION", "YEAR", "HEIGHT")])
report("grouseticks", "ml", glmer(TICKS ~ YEAR + height + (1 | BROOD) + (1 | LOCATION), ticks, poisson, control = general))
writeLines(lines, file.path(folder, "lme4.csv"))
