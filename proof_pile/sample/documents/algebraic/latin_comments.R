# Méthode des moindres carrés
f <- function(x, y) sum((x - y)^2)
