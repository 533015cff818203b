# What R says of data that the tests also give newtron: prediction intervals, profile-likelihood intervals, robust errors.
#
# Run from the root of the repository: Rscript tests/data/r/reference.R ../shared/data/logistic > tests/data/r/reference.json
# MASS is R's own; sandwich is a package. The profiles are solved for with uniroot, since confint interpolates them.

suppressMessages({library(MASS); library(sandwich)})
folder <- commandArgs(trailingOnly = TRUE)[1]
numbers <- function(m) {
  m <- as.matrix(m)
  rows <- apply(m, 1, function(row) paste0("[", paste(sprintf("%.16g", row), collapse = ", "), "]"))
  paste0("[", paste(rows, collapse = ",\n    "), "]")
}
facts <- list()
say <- function(name, m) facts[[name]] <<- numbers(m)
half <- qchisq(0.95, 1)

# Two bounds where the deviance is `half` above its minimum; `rise` is that of one coefficient held at b.
bounds <- function(rise, b, se) c(uniroot(rise, c(b - 6 * se, b), tol = 1e-15)$root,
                                  uniroot(rise, c(b, b + 6 * se), tol = 1e-15)$root)

# --- prediction intervals ---

new <- data.frame(speed = c(12, 19, 24))
say("cars_prediction", predict(lm(dist ~ speed, cars), new, interval = "prediction"))
say("cars_confidence", predict(lm(dist ~ speed, cars), new, interval = "confidence"))

# --- profile-likelihood intervals of a logistic regression; the intercept last ---

d <- read.csv(file.path(folder, "ucla_binary.csv"))
fit <- glm(admit ~ gre + gpa + factor(rank), data = d, family = binomial)
say("admission_confint", suppressMessages(confint(fit))[c(2:6, 1), ])
X <- model.matrix(fit)[, c(2:6, 1)]
strict <- glm.control(epsilon = 1e-15, maxit = 200)
plain <- function(X, offset) suppressWarnings(glm.fit(X, d$admit, family = binomial(), offset = offset, control = strict))
full <- plain(X, rep(0, nrow(X)))
se <- sqrt(diag(solve(crossprod(X * sqrt(full$weights)))))
say("admission_profile", t(sapply(1:6, function(j) bounds(
  function(b) plain(X[, -j], b * X[, j])$deviance - full$deviance - half, coef(full)[j], se[j]))))

# --- the same of Firth's likelihood, which is written out here ---

e <- read.csv(file.path(folder, "endometrial.csv"))
X <- cbind(e$NV, e$PI, e$EH, 1)
information <- function(theta) { mu <- plogis(drop(X %*% theta)); crossprod(X * sqrt(mu * (1 - mu))) }
penalised <- function(theta) {
  z <- drop(X %*% theta)
  sum(plogis(ifelse(e$HG == 1, z, -z), log.p = TRUE)) + 0.5 * c(determinant(information(theta))$modulus)
}
firth <- function(theta, free) {
  for (step in 1:500) {
    mu <- plogis(drop(X %*% theta)); w <- mu * (1 - mu); I <- information(theta)
    score <- drop(crossprod(X, e$HG - mu + rowSums((X %*% solve(I)) * X) * w * (0.5 - mu)))
    s <- solve(I[free, free], score[free])
    theta[free] <- theta[free] + s * min(1, 2 / max(abs(s)))
    if (max(abs(s)) < 1e-14) break
  }
  theta
}
best <- firth(rep(0, 4), 1:4)
se <- sqrt(diag(solve(information(best))))
say("endometrial_firth", best)
say("endometrial_firth_profile", t(sapply(1:4, function(j) bounds(function(b) {
  theta <- best; theta[j] <- b
  2 * (penalised(best) - penalised(firth(theta, setdiff(1:4, j)))) - half
}, best[j], se[j]))))

say("endometrial_firth_p_values", sapply(1:4, function(j) {
  theta <- best; theta[j] <- 0
  pchisq(2 * (penalised(best) - penalised(firth(theta, setdiff(1:4, j)))), 1, lower.tail = FALSE)
}))

# --- robust standard errors; the intercept first ---

concrete <- read.csv("examples/concrete.csv")
fit <- lm(strength_mpa ~ ., concrete)
for (type in c("HC0", "HC1", "HC2", "HC3")) say(paste0("concrete_", type), sqrt(diag(vcovHC(fit, type = type))))
say("concrete_cluster", sqrt(diag(vcovCL(fit, cluster = concrete$age_days, type = "HC1"))))
say("concrete_classical", sqrt(diag(vcov(fit))))
penguins <- na.omit(read.csv("examples/penguins.csv", na.strings = c("", "NA")))
penguins$sex <- factor(penguins$sex)
fit <- glm(sex ~ bill_length_mm + bill_depth_mm + body_mass_g, penguins, family = binomial, control = strict)
group <- paste0(penguins$island, penguins$species, penguins$year)
say("penguins_classical", sqrt(diag(vcov(fit))))
say("penguins_HC0", sqrt(diag(vcovHC(fit, type = "HC0"))))
say("penguins_HC3", sqrt(diag(vcovHC(fit, type = "HC3"))))
say("penguins_cluster", sqrt(diag(vcovCL(fit, cluster = group, type = "HC1"))))

versions <- sprintf("\"%s; MASS %s; sandwich %s\"", R.version.string, packageVersion("MASS"), packageVersion("sandwich"))
cat("{\n  \"versions\": ", versions, sep = "")
for (name in names(facts)) cat(",\n  \"", name, "\": ", facts[[name]], sep = "")
cat("\n}\n")
